"""``--max_memory`` is kept: the peak of a whole process, as the kernel counts it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import pathlib, runpy
try:
    runpy.run_module("svdam.maximize_activation", run_name="__main__")
finally:
    print(pathlib.Path("/proc/self/status").read_text())
"""


def peak_gib(folder: Path, max_memory: float) -> float:
    """Peak memory of a search of 120 latents in the networks that ship."""
    flags = [
        f"--output={folder / str(max_memory)}",
        f"--max_memory={max_memory}",
        "--seeds=0-119",
        "--num_steps=2",
        "--precision=float32",  # In bfloat16 all latents fit within the lower limit.
        "--learning_rates=0.01",
        "--prior_weights=0.01",
    ]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *flags],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return int(re.search(r"VmHWM:\s*(\d+) kB", ended.stdout)[1]) / 2**20


def test_a_search_stays_within_max_memory(tmp_path):
    peaks = {limit: peak_gib(tmp_path, limit) for limit in (1.4, 3.0)}
    assert all(peak < limit for limit, peak in peaks.items()), peaks
    assert peaks[3.0] > peaks[1.4] + 0.2, "the limit decides how much is done at once"
