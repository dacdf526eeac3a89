"""A search that is killed at any moment and started again comes to the same result."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from svdam.stages.maximize_activation import SearchSettings
from tests.explain.small_models import save_small_models

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Chunks are cut at the largest size in the engine, made small here; steps are slowed down so that
# the signals come while it searches.
PROGRAM = """
import time
from svdam import maximize_activation
from svdam.core.commands import run_command
from svdam.stages import grid

grid.LARGEST_CHUNK = 4
shown = grid._View.show
def slow(*args):
    shown(*args)
    time.sleep({pause})
grid._View.show = slow
run_command(maximize_activation.main)
"""
NUM_CHUNKS = 4


def start(settings, pause):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(pause=pause), f"--flagfile={settings}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def chunks(folder):
    return {path.name: path.read_bytes() for path in (folder / "chunks").glob("[0-9]*.npz")}


def wait_for(condition, process):
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def contents(path):
    with h5py.File(path) as file:
        found = {name: file[name][()] for name in file}
    found.pop("provenance")  # It names the folder.
    return found


def test_killed_and_started_again(tmp_path):
    flagfiles = {}
    models = save_small_models(tmp_path)
    for name in ("whole", "killed"):
        flagfiles[name] = tmp_path / f"{name}.cfg"
        settings = SearchSettings(
            output=str(tmp_path / name),
            response="logit:1",
            learning_rates=(0.1, 0.01),
            prior_weights=(0.1, 0.01),
            num_steps=(20, 60),
            seeds="0-3",
            **models,
        )
        flagfiles[name].write_text(settings.to_flagfile())
    whole = start(flagfiles["whole"], pause=0)  # Beside the others.
    folder = tmp_path / "killed"

    process = start(flagfiles["killed"], pause=0.1)
    wait_for(lambda: len(chunks(folder)) >= 1, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "run the same command again" in output
    kept = chunks(folder)
    assert 1 <= len(kept) < NUM_CHUNKS

    process = start(flagfiles["killed"], pause=0.1)
    wait_for(lambda: len(chunks(folder)) > len(kept), process)
    time.sleep(random.uniform(0, 0.2))
    process.kill()
    process.communicate()
    after_kill = chunks(folder)
    assert kept.items() <= after_kill.items(), "a finished chunk was computed again"

    process = start(flagfiles["killed"], pause=0)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert whole.wait(120) == 0, whole.communicate()[0]
    expected, found = (contents(tmp_path / name / "results.h5") for name in ("whole", "killed"))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    leftovers = [path.name for path in folder.rglob("*partial*")]
    assert not leftovers
