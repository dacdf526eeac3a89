"""Latents split over two devices and over two processes, against one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from svdam.results.examples import read_results
from svdam.stages.maximize_activation import SearchSettings, maximize_activation
from tests.explain.small_models import command_line, save_small_models

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TWO_DEVICES = str(Path(__file__).with_name("strategy_worker.py"))

SEARCH = dict(
    response="logit:1",
    learning_rates=(0.1, 0.01),
    prior_weights=(0.1,),
    num_steps=(3, 12),
    seeds="0-4",  # 10 trajectories and 5 starts: neither share is even everywhere.
    keep="best",
)


def start(program, settings, cluster=None, index=0):
    """A process of maximize_activation."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # svdam need not be installed.
    environment.pop("TF_CONFIG", None)
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return subprocess.Popen(
        [sys.executable, *program, f"--flagfile={settings}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def flagfile(path, **changes):
    settings = SearchSettings(**{**SEARCH, **changes})
    path.write_text(settings.to_flagfile())
    return path


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The search on one device, and the models' flags."""
    folder = tmp_path_factory.mktemp("one")
    models = save_small_models(folder)
    return maximize_activation(
        SearchSettings(output=str(folder / "run"), **SEARCH, **models)
    ), models


def require_same(expected, folder):
    found = read_results(folder)
    for name in ("responses", "log_priors", "start_responses", "history_responses"):
        assert getattr(found, name).shape == getattr(expected, name).shape
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4)
    np.testing.assert_allclose(found.latents, expected.latents, atol=1e-2)


def test_mirrored_over_two_devices(expected, tmp_path):
    expected, models = expected
    settings = flagfile(
        tmp_path / "f.cfg", output=str(tmp_path / "run"), strategy="mirrored", **models
    )
    process = start([TWO_DEVICES], settings)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    require_same(expected, tmp_path / "run")


def test_multi_worker_over_two_processes(expected, tmp_path):
    expected, models = expected
    settings = flagfile(
        tmp_path / "f.cfg", output=str(tmp_path / "run"), strategy="multi_worker", **models
    )
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    program = ["-m", "svdam.maximize_activation"]
    processes = [start(program, settings, cluster, index) for index in range(2)]
    try:
        outputs = [process.communicate(timeout=150)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert "results:" in outputs[0]
    assert "results:" not in outputs[1], "only the chief reports"
    require_same(expected, tmp_path / "run")


def test_a_flag_of_each_setting():
    """What the flagfiles above rely on: every setting survives the way through a flagfile."""
    assert set(SearchSettings(**SEARCH).to_flagfile().splitlines()) >= {
        "--strategy=one_device",
        *command_line({"keep": "best", "seeds": "0-4", "num_steps": "3,12"}),
    }
