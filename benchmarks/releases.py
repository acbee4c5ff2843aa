"""python benchmarks/releases.py [--pairs 8800] [--side 800] [--seed 0] [--peer LS/bin/label-studio]

Builds a release of many judged pairs and prints how long it took beside the limit of the disk: the
time to copy the same files, durably, to the same place. Peak memory is that of the building process
alone. The pictures are smooth noise with the bytes of a photograph of that size; five pairs of an
item share its pictures, as real pairs do. No two rationales of two pairs are the same; the draft of
a pair and the chain that people made of it differ in one finding. Labels are drawn; they say
nothing.

With --peer, Label Studio exports as many annotated tasks as JSON afterwards, by
GET /api/projects/N/export?exportType=JSON. A task has the addresses of two pictures, two choices
and the words of a chain. The export holds these addresses and no picture: it is less than a
release, and what somebody has in hand there. It comes from a virtual environment of its own:

    python -m venv LS && LS/bin/pip install label-studio==1.23.0
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations, islice
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import insert

from benchmarks.peers import make_data, start_label_studio
from creativepair.chain import Chain, Finding
from creativepair.images import encode_derivative
from creativepair.protocol import load_protocol
from creativepair.records import order_identities, pair_id_of
from creativepair.store import tables
from creativepair.store.database import Store, create_store
from creativepair.workspace import Settings, Workspace, create_workspace

NOW = datetime(2025, 3, 1, tzinfo=UTC)
PICTURES = 4  # six pairs an item, of which five are taken
PAIRS = 5
DIFFERENT = 200  # pictures that are drawn; each is made a picture of its own by its last bytes
BATCH = 2_000
PEER_LIMIT_S = 3_600.0
PEER_BATCH = 2_000  # tasks a POST
PEER_LABELS = """<View><Image name="left" value="$left"/><Image name="right" value="$right"/>
<Choices name="blind" toName="left"><Choice value="left"/><Choice value="right"/></Choices>
<Choices name="final" toName="left"><Choice value="left"/><Choice value="right"/></Choices>
<TextArea name="rationale" toName="left"/></View>"""
_BUILD = """if True:
    import json, resource, sys, time
    from pathlib import Path
    from creativepair.store.database import open_store
    from creativepair.workspace import open_workspace
    from exports.builder import build_release
    workspace = open_workspace(Path(sys.argv[1]))
    start = time.perf_counter()
    built = build_release(workspace, open_store(workspace.database_url), "1.0.0")
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_mib": peak / 1024, "rows": built.rows}))
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8_800)
    parser.add_argument("--side", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", type=Path, help="Label Studio's program label-studio")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="creativepair-") as folder:
        workspace = create_workspace(Path(folder) / "w", Settings(name="Benchmark"))
        store = create_store(workspace.database_url)
        fill(workspace, store, options.pairs, options.side, options.seed)
        store.close()
        os.sync()
        built = json.loads(run(_BUILD, workspace.root))
        release = workspace.releases / "1.0.0"
        copied_s = copy_durably(release, Path(folder) / "copy")
        verify_s = time_command("release", "verify", "1.0.0", "--workspace", workspace.root)
        num_bytes = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
    print(f"| {'pairs':>9} | {'MiB':>7} | build s | copy s | ratio | peak MiB | verify s |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {built['rows']:>9,} | {num_bytes / 2**20:>7,.0f} | {built['seconds']:7.1f} | "
        f"{copied_s:6.1f} | {built['seconds'] / copied_s:5.2f} | {built['peak_mib']:8.0f} | "
        f"{verify_s:8.1f} |"
    )
    if options.peer:
        print(f"\n{export_from_peer(options.peer.absolute(), options.pairs)}")


def export_from_peer(program: Path, num_tasks: int) -> str:
    """Say how long Label Studio takes to export tasks."""
    data = make_data(num_tasks)
    with start_label_studio(program, PEER_LIMIT_S) as server:
        project = server.make_project("Pairs", PEER_LABELS)
        for first in range(0, num_tasks, PEER_BATCH):
            tasks = [annotate(each) for each in data[first : first + PEER_BATCH]]
            server.import_tasks(project, tasks)
        start = time.perf_counter()
        exported = server.ask("GET", f"/api/projects/{project}/export?exportType=JSON")
        seconds = time.perf_counter() - start
    if len(json.loads(exported)) != num_tasks:
        raise RuntimeError(f"Label Studio exported {len(json.loads(exported)):,} tasks")
    return (
        f"Label Studio {server.version}: its JSON of {num_tasks:,} tasks, which holds no images, "
        f"took {seconds:.1f} s for {len(exported) / 2**20:,.0f} MiB"
    )


def annotate(data: dict[str, object]) -> dict[str, object]:
    """Return a task of Label Studio with one annotation: two choices and the words of a chain."""
    rationales = "\n".join(rationales_of(str(data["title"])))
    result = [
        {"from_name": name, "to_name": "left", "type": kind, "value": value}
        for name, kind, value in (
            ("blind", "choices", {"choices": ["left"]}),
            ("final", "choices", {"choices": ["left"]}),
            ("rationale", "textarea", {"text": [rationales]}),
        )
    ]
    return {"data": data, "annotations": [{"result": result}]}


def run(program: str, *words: object) -> str:
    """Run a program in a process of its own and return what it printed."""
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def time_command(*words: object) -> float:
    """Return the seconds of a command, its start included."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "app.cli", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def copy_durably(source: Path, target: Path) -> float:
    """Copy a folder, sync each file, and return the seconds."""
    start = time.perf_counter()
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as reading, copy.open("wb") as writing:
                while data := reading.read(2**20):
                    writing.write(data)
                writing.flush()
                os.fsync(writing.fileno())
    return time.perf_counter() - start


def fill(workspace: Workspace, store: Store, num_pairs: int, side: int, seed: int) -> None:
    """Store items, pictures, evidence, drafts and one judgement a pair."""
    drawn = list(draw_pictures(min(DIFFERENT, num_pairs), side, seed))
    rng = np.random.default_rng(seed)
    rows = rows_of_items(workspace, drawn, num_pairs, rng)
    with store.write() as connection:
        build = {"version": 1, "settings": {}, "summary": {}, "built_at": NOW}
        connection.execute(insert(tables.evidence_builds), [build])
        while items := list(islice(rows, BATCH // PAIRS)):
            for name in (
                "item_revisions", "items", "creatives", "pairs", "evidence", "drafts",
                "judgement_events",
            ):  # fmt: skip
                table = tables.metadata.tables[name]
                connection.execute(insert(table), [row for item in items for row in item[name]])


def draw_pictures(number: int, side: int, seed: int) -> Iterator[bytes]:
    """Draw JPEGs of about the bytes of a photograph of this size."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        coarse = rng.integers(0, 256, (max(side // 12, 1),) * 2 + (3,), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        yield encode_derivative(image)


def rows_of_items(
    workspace: Workspace, drawn: list[bytes], num_pairs: int, rng: np.random.Generator
) -> Iterator[dict[str, list[dict[str, object]]]]:
    """Return the rows of one item after another."""
    done = number = 0
    while done < num_pairs:
        item_id = f"item-{number:07d}"
        rows: dict[str, list[dict[str, object]]] = {
            "item_revisions": [
                {
                    "item_id": item_id, "revision": 1, "title": f"Mug {number}", "category": None,
                    "queries": ["coffee mug", "gift"], "created_at": NOW,
                }
            ],
            "items": [{"item_id": item_id, "revision": 1}],
            "creatives": [],
            "pairs": [], "evidence": [], "drafts": [], "judgement_events": [],
        }  # fmt: skip
        ids = [f"c{number}-{n}" for n in range(PICTURES)]
        for n, creative_id in enumerate(ids):
            picture = drawn[(number * PICTURES + n) % len(drawn)]
            # What follows the end of a JPEG is never read: other bytes, the same picture.
            data = picture + f"{number}-{n}".encode()
            sha256 = put(workspace, data)
            rows["creatives"].append(
                {
                    "item_id": item_id, "creative_id": creative_id, "image_sha256": sha256,
                    "pixel_sha256": sha256, "derivative_sha256": sha256, "width": 1, "height": 1,
                    "phash": f"{int(rng.integers(0, 2**63)):016x}", "dhash": "0" * 16,
                    "colorhash": "0" * 11, "recipe": "r", "aa_of": None, "text": None,
                    "synthetic": True,
                }
            )  # fmt: skip
        for first, second in islice(combinations(ids, 2), min(PAIRS, num_pairs - done)):
            add_pair(rows, item_id, first, second)
            done += 1
        number += 1
        yield rows


def put(workspace: Workspace, data: bytes) -> str:
    """Store a picture, without syncing it as the store would: all are synced before the build."""
    sha256 = hashlib.sha256(data).hexdigest()
    path = workspace.root / "blobs" / "derivatives" / sha256[:2] / sha256[2:4] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return sha256


def add_pair(
    rows: dict[str, list[dict[str, object]]], item_id: str, first: str, second: str
) -> None:
    """Add a pair that A wins, its draft and a judgement that edits the draft."""
    a, b = order_identities(item_id, first, second)
    pair_id = pair_id_of(item_id, first, second)
    rows["pairs"].append(
        {
            "pair_id": pair_id, "item_id": item_id, "creative_a": a, "creative_b": b,
            "status": "candidate", "reject_reason": None,
        }
    )  # fmt: skip
    rows["evidence"].append(
        {
            "pair_id": pair_id, "version": 1, "impressions_a": 5000, "clicks_a": 150,
            "impressions_b": 4000, "clicks_b": 60, "shared_share": 1.0, "log_ratio": 0.7,
            "variance": 0.02, "count_variance": 0.02, "rel_gap": 1.0, "gap_low": 0.5,
            "gap_high": 1.6, "shrunken_gap": 0.9, "prob_a": 0.97, "z": 4.9, "randomised": True,
        }
    )  # fmt: skip
    rows["drafts"].append(
        {
            "draft_id": f"d{pair_id}", "pair_id": pair_id, "drafter": "evidence",
            "model_version": "evidence-1", "item_revision": 1, "protocol": "1",
            "chain": make_chain("B", pair_id), "answer": "B", "prob_a": 0.3, "raw_text": "",
            "tokens": 0, "seconds": 0.1, "created_at": NOW,
        }
    )  # fmt: skip
    common: dict[str, object] = {
        "lease_id": None, "pair_id": pair_id, "annotator_id": "ann", "pass_": 1, "revision": 1,
        "arm": "blind", "left_is": "A", "verdict": "A", "reason": None, "reviewed": [],
        "evidence_version": 1, "draft_id": f"d{pair_id}", "item_revision": 1, "protocol": "1",
        "guideline": "1", "shown_at": NOW, "decided_at": NOW, "active_s": 9.0,
        "source": "simulated",
    }  # fmt: skip
    for step, chain, status in (
        ("blind", None, None),
        ("final", make_chain("A", pair_id), "edited"),
    ):
        rows["judgement_events"].append(
            common
            | {
                "decision_id": f"{pair_id}-{step}",
                "step": step,
                "chain": chain,
                "chain_status": status,
            }
        )


def make_chain(answer: str, pair_id: str) -> dict[str, object]:
    """Return a chain of ten findings as the store holds it."""
    questions = load_protocol("1").questions
    findings = tuple(
        Finding(
            question=question.id,
            verdict=answer if question.id == "click" else question.verdicts[-1],
            rationale=rationale,
        )
        for question, rationale in zip(questions, rationales_of(pair_id), strict=True)
    )
    return Chain(protocol="1", findings=findings).model_dump(mode="json")


def rationales_of(name: str) -> list[str]:
    """Return a rationale for each question, which no other pair has."""
    return [
        "{A} shows the product larger and in use, {B} shows the box it comes in: "
        f"{question.id} of {name}"
        for question in load_protocol("1").questions
    ]


if __name__ == "__main__":
    main()
