"""Memory of this machine: what would not fit is refused before the work starts."""

import contextlib
import re
from pathlib import Path

from svdam.core.validation import InputError

_GIB = 2**30


def available_bytes() -> int | None:
    """Memory that this process can still take; None where the system does not tell.

    What the kernel calls available, or less where a container has a limit of its own.
    """
    found = []
    with contextlib.suppress(OSError):
        text = Path("/proc/meminfo").read_text("ascii")
        found = [1024 * int(kib) for kib in re.findall(r"MemAvailable:\s+(\d+) kB", text)]
    with contextlib.suppress(OSError, ValueError):
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return min(found, default=None)


def require_memory(num_bytes: float, flag: str, found: int) -> None:
    """Refuses a batch that this machine cannot hold.

    Args:
        num_bytes: What the work takes.
        flag: The flag that decides it.
        found: Its value.

    Raises:
        InputError: If less is available.
    """
    available = available_bytes()
    if available is not None and num_bytes > available:
        raise InputError(
            f"--{flag}: {found} would take about {num_bytes / _GIB:.1f} GiB of memory, and "
            f"only {available / _GIB:.1f} are available; use a smaller value"
        )
