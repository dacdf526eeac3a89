"""How many processors this process may use, and the surroundings of those that share them."""

import contextlib
import math
import os
from pathlib import Path

import svdam


def available_processors(cgroup: str | os.PathLike = "/sys/fs/cgroup") -> int:
    """Processors that the system lets this process run on, or fewer where a container has a quota.

    A container with a quota of 2 on a machine of 64 sees all 64, and 64 workers would share the
    time of 2 and take the memory of 64. TensorFlow's threads are left as they are: 64 of them
    on 2 processors cost 8 % more processor time than 2.

    Args:
        cgroup: Folder of the control group's limits (version 2).
    """
    count = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # ValueError: "max 100000", no quota.
        quota, period = Path(cgroup, "cpu.max").read_text("ascii").split()
        count = min(count, max(1, math.ceil(int(quota) / int(period))))
    return count


def worker_environment() -> dict[str, str]:
    """Environment variables of a worker process: it finds svdam, and computes in one thread."""
    root = str(Path(svdam.__file__).resolve().parents[1])
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        # One thread each: there are as many workers as processors.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
