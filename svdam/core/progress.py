"""Progress bars with time left for everything that takes more than a few seconds."""

import sys
from collections.abc import Iterable
from typing import Any


def progress(
    iterable: Iterable | None = None,
    *,
    total: float | None = None,
    initial: float = 0,
    description: str = "",
    unit: str = "it",
    is_shown: bool = True,
) -> Any:
    """A tqdm bar on standard error; in a log file it prints a line every ten seconds instead.

    Where there is nothing to do, a ``total`` of 0, it shows nothing.
    """
    import tqdm

    interactive = sys.stderr.isatty()
    return tqdm.tqdm(
        iterable,
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        mininterval=0.2 if interactive else 10.0,
        maxinterval=10.0 if interactive else 60.0,
        dynamic_ncols=interactive,
        ncols=None if interactive else 100,
        smoothing=0.1,
        disable=total == 0 or not is_shown,
    )
