"""A real vLLM server on the CPU that serves the pocket model; it has an environment of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from model_assist.pretrained import POCKET_FOLDER
from tests.desk_server import free_port

PYTHON = Path(__file__).parents[1] / ".venv-vllm" / "bin" / "python"
START_S = 300
FLAGS = {
    "--served-model-name": "pocket",
    "--host": "127.0.0.1",
    "--dtype": "float32",
    "--max-model-len": "2048",
    "--max-num-batched-tokens": "4096",
    "--max-num-seqs": "32",
    "--limit-mm-per-prompt": '{"image": 2, "video": 0}',
    "--logprobs-mode": "processed_logprobs",
    "--max-lora-rank": "8",
    "--max-loras": "2",
}


@contextmanager
def run_vllm(folder: Path) -> Iterator[str]:
    """Run the server, its log in a folder, and give its address, up to and with `/v1`."""
    port, log = free_port(), folder / "server.log"
    words = [word for flag in (FLAGS | {"--port": str(port)}).items() for word in flag]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent / "vllm" / "startup"),
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", POCKET_FOLDER, *words,
             # A seeded request that is read in chunks ends vllm-cpu 0.31.
             "--enforce-eager", "--no-enable-chunked-prefill", "--enable-lora"],
            env=environment, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
        try:
            _await(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()  # it ends the process of its engine itself
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _await(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(address, timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(1)
    sys.stderr.write(log.read_text()[-4_000:])
    pytest.fail("the server did not start; its log is above")
