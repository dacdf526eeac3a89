"""One progress bar, with one time left, over phases of different work."""

from collections.abc import Mapping
from typing import Any

from svdam.core.progress import progress


class Overall:
    """A bar over several phases; a context manager.

    Work of different kinds is counted in one unit, as far as it can be foretold: a phase that takes
    less than was foretold is filled up when the next one begins, and one that takes more stands
    still at its end.
    """

    def __init__(self, phases: Mapping[str, float]):
        """``phases``: the work of each phase, by what it is called, in their order."""
        self._phases = {name: round(work) for name, work in phases.items()}
        self._bar: Any = progress(total=sum(self._phases.values()), unit="step")
        self._left = 0

    def __enter__(self) -> "Overall":
        return self

    def __exit__(self, kind: type | None, *exception) -> None:
        if kind is None:
            self._bar.update(self._left)
        self._bar.close()

    def begin(self, phase: str) -> None:
        """Ends the phase before and begins one."""
        self._bar.update(self._left)
        self._bar.set_description_str(phase)
        self._left = self._phases[phase]

    def advance(self, work: float) -> None:
        """Moves the bar, at most to the end of the phase."""
        step = min(round(work), self._left)
        self._left -= step
        self._bar.update(step)
