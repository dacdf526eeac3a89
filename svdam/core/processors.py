"""How many processors this process may use."""

import contextlib
import math
import os
from pathlib import Path


def available_processors(cgroup: str | os.PathLike = "/sys/fs/cgroup") -> int:
    """Processors that the system lets this process run on, or fewer where a container has a quota.

    A container with a quota of 2 on a machine of 64 sees all 64, and so many workers would share
    the time of 2 and take the memory of 64. TensorFlow's threads are left as they are: 64 of them
    on 2 processors cost 8 % more processor time than 2.

    Args:
        cgroup: Folder of the control group's limits (version 2).
    """
    count = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # ValueError: "max 100000", no quota.
        quota, period = Path(cgroup, "cpu.max").read_text("ascii").split()
        count = min(count, max(1, math.ceil(int(quota) / int(period))))
    return count
