"""One progress bar, with one time left, over phases of different work."""

from collections.abc import Mapping
from typing import Any

from svdam.core.progress import progress


class Overall:
    """A bar over several phases; a context manager.

    Work of different kinds is counted in one unit, as far as it can be foretold: a phase that takes
    less than was foretold is filled up when the next one begins. One that takes more is expected to
    take a quarter more than it has taken so far, so that the bar does not stand still at its end.

    Attributes:
        bar: The bar, tqdm's: ``bar.n`` of ``bar.total`` is done.
    """

    def __init__(self, phases: Mapping[str, float]):
        """``phases``: the work of each phase, by what it is called, in their order."""
        self._phases = {name: round(work) for name, work in phases.items()}
        self.bar: Any = progress(total=sum(self._phases.values()), unit="step")
        self._done = self._left = 0  # Of the phase.

    def __enter__(self) -> "Overall":
        return self

    def __exit__(self, kind: type | None, *exception) -> None:
        if kind is None:
            self.bar.update(self._left)
        self.bar.close()

    def begin(self, phase: str) -> None:
        """Ends the phase before and begins one."""
        self.bar.update(self._left)
        self.bar.set_description_str(phase)
        self._done, self._left = 0, self._phases[phase]

    def advance(self, work: float) -> None:
        """Moves the bar, and its end where the phase takes more than was foretold."""
        step = round(work)
        self._done += step
        if step > self._left:
            more = step - self._left + self._done // 4
            self._left += more
            self.bar.total += more
        self._left -= step
        self.bar.update(step)
