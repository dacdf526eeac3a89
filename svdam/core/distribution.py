"""Devices and processes that share the work of one batch, by tf.distribute.

``one_device`` is TensorFlow's default. ``mirrored`` takes every GPU of this machine (every logical
CPU device where there is none). ``multi_worker`` joins processes, usually on several machines: each
runs the same command with the same flags, and ``TF_CONFIG`` tells it who it is.

TensorFlow is loaded only when a strategy is made.
"""

import json
import os
from typing import Any

from svdam.core.validation import InputError, one_line

STRATEGIES = ("one_device", "mirrored", "multi_worker")

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def make_strategy(name: str) -> Any:
    """The tf.distribute strategy that a command's ``--strategy`` names.

    Call it before anything else of TensorFlow runs, and load models within its ``scope()``.

    Raises:
        InputError: If the name is none of `STRATEGIES`, or multi_worker has no usable TF_CONFIG.
    """
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # It tells of every exchange between the replicas.
    if name == "one_device":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name != "multi_worker":
        raise InputError(f"--strategy: found {name!r}, expected one of {', '.join(STRATEGIES)}")
    _require_cluster()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise InputError(
            "--strategy: the workers of TF_CONFIG could not connect to each other "
            f"({one_line(error)})"
        ) from error


def is_chief(strategy: Any) -> bool:
    """Whether this process is the one that writes results: the only one, the chief or worker 0."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().as_dict()
    return resolver.task_type == "chief" or (
        not has_chief and resolver.task_type == "worker" and resolver.task_id == 0
    )


def _require_cluster() -> None:
    """Refuses a TF_CONFIG that names no workers, or a task that is none of them."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        cluster[task["type"]][int(task["index"])]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        found = "is not set" if not text else f"is {text[:100]!r}"
        raise InputError(
            f"--strategy=multi_worker: the environment variable TF_CONFIG {found}; expected for "
            f"example TF_CONFIG='{_EXAMPLE}', with a different index in each process"
        ) from error
