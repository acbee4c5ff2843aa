"""python benchmarks/kill_release.py [--kills 100] [--pairs 200] [--seed 0]

Kills builds of a release with SIGKILL, each at a random moment between its first and its last, and
looks at what is left: a release that is listed must be whole, and the next build must succeed with
the same data. Prints how the builds that were killed ended.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from app.commands.demo import make_demo
from creativepair.workspace import Workspace, open_workspace
from exports.listing import list_releases, read_manifest
from exports.verification import verify_release

_BUILD = """if True:
    import sys
    from pathlib import Path
    from creativepair.store.database import open_store
    from creativepair.workspace import open_workspace
    from exports.builder import build_release
    workspace = open_workspace(Path(sys.argv[1]))
    store = open_store(workspace.database_url)
    print("begins", flush=True)
    build_release(workspace, store, sys.argv[2])
    print("ends", flush=True)
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="creativepair-") as folder:
        root = Path(folder) / "w"
        make_demo(root, num_pairs=options.pairs, seed=options.seed, judged=True).store.close()
        workspace = open_workspace(root)
        whole_s = build(root, "0.0.1")
        data = data_of(workspace, "0.0.1")
        ends: Counter[str] = Counter()
        for number in range(1, options.kills + 1):
            at = rng.uniform(0, whole_s)
            ends[kill_build(workspace, f"0.{number}.0", at)] += 1
            build(root, f"0.{number}.1")
            if data_of(workspace, f"0.{number}.1") != data:
                ends["other data afterwards"] += 1
    print(f"| kills | of a build of | {' | '.join(ends)} |")
    print(f"|{'---|' * (2 + len(ends))}")
    counts = " | ".join(f"{number:,}" for number in ends.values())
    print(f"| {options.kills} | {whole_s:.1f} s | {counts} |")
    if set(ends) - {"nothing listed", "whole release"}:
        sys.exit(1)


def start_build(root: Path, version: str) -> subprocess.Popen[str]:
    """Start a build in a process of its own and return when it is about to begin."""
    command = [sys.executable, "-c", _BUILD, str(root), version]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    return process


def build(root: Path, version: str) -> float:
    """Build a release and return the seconds it took."""
    process = start_build(root, version)
    start = time.perf_counter()
    said = process.stdout.readline() if process.stdout else ""
    seconds = time.perf_counter() - start
    if process.wait() or said != "ends\n":
        raise RuntimeError(f"building {version} failed")
    return seconds


def kill_build(workspace: Workspace, version: str, at_s: float) -> str:
    """Kill a build some seconds after it began; say what is left of it."""
    process = start_build(workspace.root, version)
    time.sleep(at_s)
    process.kill()
    process.wait()
    if version not in [one.version for one in list_releases(workspace)]:
        return "nothing listed"
    return "whole release" if verify_release(workspace, version).ok else "half a release"


def data_of(workspace: Workspace, version: str) -> dict[str, str]:
    """Return the checksums of the data files."""
    files = read_manifest(workspace, version).files
    return {path: entry.sha256 for path, entry in files.items() if path.startswith("data/")}


if __name__ == "__main__":
    main()
