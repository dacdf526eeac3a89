"""Devices that share each batch: the same losses as one, and a killed process comes back."""

import json
import socket
import time

import numpy as np
import pytest
import tensorflow as tf
from keras.saving import load_model
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.stages.gan_commands import finish, make_records, start

pytestmark = pytest.mark.slow

# A low rate: on these few clips the losses grow a hundredfold with the default one, and rounding
# with them.
FLAGS = (
    "--batch_size=4",
    "--num_iterations=20",
    "--checkpoint_every=4",
    "--critic_steps=1",
    "--learning_rate=1e-5",
    "--ema_momentum=0.9",
)
LOSSES = ("wasserstein_estimate", "gradient_penalty", "critic_loss", "generator_loss")
# The command, after the processor was split in two.
TWO_PROCESSORS = (
    "-c",
    "import runpy, tensorflow as tf\n"
    "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0],\n"
    "    [tf.config.LogicalDeviceConfiguration()] * 2)\n"
    "assert len(tf.config.list_logical_devices('CPU')) == 2\n"
    "runpy.run_module('svdam.train_gan', run_name='__main__')",
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def alone(records, tmp_path_factory):
    """The run folder of one device."""
    folder = tmp_path_factory.mktemp("alone") / "gan"
    status, output = finish(start(records, folder, *FLAGS))
    assert status == 0, output
    return folder


def losses(folder):
    """(name, iteration) -> value."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    return {
        (name, event.step): float(tf.make_ndarray(event.tensor_proto))
        for name in LOSSES
        for event in events.Tensors(f"gan/{name}")
    }


def assert_same_average(folder, alone):
    """But for what rounding changes, which grows with each step, and with TensorFlow 2.21 faster.

    The weights go some 7e-5; without being averaged they would be 3e-5 from their average.
    """
    found, expected = (
        np.concatenate([array.ravel() for array in load_model(f / "generator.keras").get_weights()])
        for f in (folder, alone)
    )
    assert np.mean(np.abs(found - expected)) < 2e-6


def assert_same_losses(folder, alone):
    found, expected = losses(folder), losses(alone)
    assert {step for _, step in expected} == set(range(1, 21))
    assert found.keys() == expected.keys()
    for (name, step), value in found.items():
        # The generator's loss crosses 0: what is small is so beside the scores themselves.
        scale = abs(expected["wasserstein_estimate", step])
        assert value == pytest.approx(expected[name, step], rel=1e-4, abs=1e-4 * scale), (
            name,
            step,
        )


def test_mirrored_has_the_losses_of_one_device(records, alone, tmp_path):
    process = start(
        records, tmp_path / "gan", *FLAGS, "--strategy=mirrored", program=TWO_PROCESSORS
    )
    status, output = finish(process)
    assert status == 0, output
    assert_same_losses(tmp_path / "gan", alone)
    assert_same_average(tmp_path / "gan", alone)


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_workers_have_the_losses_of_one_device_and_a_killed_one_comes_back(
    records, alone, tmp_path
):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}

    def worker(index):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        flags = (*FLAGS, "--strategy=multi_worker")
        return start(records, tmp_path / "gan", *flags, TF_CONFIG=config)

    chief, other = worker(0), worker(1)
    try:
        end = time.monotonic() + 100
        while not any((tmp_path / "gan/checkpoints").glob("ckpt-*.index")):
            assert chief.poll() is None and other.poll() is None, chief.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.01)
        other.kill()
        other.communicate()
        other = worker(1)
        status, output = finish(chief)
        assert status == 0, output
        assert "another process has died" in output and "from the last checkpoint" in output
        assert finish(other)[0] == 0
    finally:
        for process in (chief, other):
            process.kill()
            process.communicate()
    assert_same_losses(tmp_path / "gan", alone)
    assert_same_average(tmp_path / "gan", alone)


def test_a_cluster_without_a_place_in_it_is_refused(records, tmp_path):
    process = start(records, tmp_path / "gan", "--strategy=multi_worker", TF_CONFIG="")
    status, output = finish(process)
    assert status == 1 and "TF_CONFIG" in output and "Traceback" not in output
