"""The path search of many units, in chunks that survive a kill.

A chunk holds as many units as keep a batch of latents full while some of them have already stopped.
Each explanation is a file of the run; a run that was stopped searches again at most one chunk.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from svdam.core.beam import Advance
from svdam.core.interruption import Interruption
from svdam.core.runs import Run
from svdam.core.validation import InputError
from svdam.explain.maximization import Maximizer
from svdam.explain.path_search import (
    OnLatentSteps,
    PathResult,
    PathSearch,
    PathState,
    geometric_steps,
)
from svdam.explain.starts import latents_from_seeds
from svdam.results.explanations import (
    ExplainedUnits,
    Explanation,
    explanation_path,
    read_explanation,
    write_explanation,
)
from svdam.stages.unit_responses import Respond

WAYS = 2
"""Latents whose way is kept, as in Figure 3."""
_BATCHES_PER_CHUNK = 4
_NEGLIGIBLE = 1e-2
"""Of a unit's variance over real music: what a mean that is off by a tenth of a standard deviation
adds to the distance. Units behind a leaky ReLU would otherwise creep to their minimum forever."""


@dataclasses.dataclass(frozen=True)
class Draws:
    """Latents that a search may start from: several draws of each seed.

    Attributes:
        latents: (N, draws, ...); the first draw of a seed is its starting latent.
        responses: (units, N, draws) responses to what the generator makes of them.
    """

    latents: np.ndarray
    responses: np.ndarray

    def nearest(self, unit: int, response: float) -> np.ndarray:
        """(N, ...): of each seed, the draw whose response is nearest; the first of equals."""
        gap = np.abs(self.responses[unit].astype(np.float64) - response)
        draw = np.argmin(np.where(np.isfinite(gap), gap, np.inf), axis=1)
        return self.latents[np.arange(len(draw)), draw]


def draw(units: ExplainedUnits, count: int, engine: Maximizer, respond: Respond) -> Draws:
    """Draws latents from each seed, and measures the responses to what the generator makes of them.

    Args:
        units: Their seeds, and what is known of the first draws.
        count: Number of draws of a seed.
        engine: The generator's.
        respond: Responses of the units to examples.
    """
    latents = latents_from_seeds(units.seeds.tolist(), (count, *engine.latent_shape))
    more = [
        respond(engine.evaluate(drawn, places=[0] * len(drawn)).examples).T
        for drawn in np.moveaxis(latents, 1, 0)[1:]
    ]
    return Draws(latents, np.stack([units.start_responses, *more], axis=-1))


@dataclasses.dataclass(frozen=True)
class UnitSearch:
    """How units are searched; see `PathSearch`.

    Attributes:
        engine: Its responses are those of the units.
        units: The units.
        draws: Where searches start.
        directions: ``max``, ``min`` or both.
        learning_rate: Of Adam.
        prior_weights: Weights lambda of the prior.
        max_steps: Longest search.
        max_batch: Latents that are optimized at once.
        unit_steps: Latent steps that a unit takes, about.
    """

    engine: Maximizer
    units: ExplainedUnits
    draws: Draws
    directions: Sequence[str]
    learning_rate: float
    prior_weights: Sequence[float]
    max_steps: int
    max_batch: int
    unit_steps: int

    @property
    def chunk_units(self) -> int:
        """Units of a chunk."""
        each = len(self.directions) * len(self.prior_weights) * len(self.units.seeds)
        return max(1, _BATCHES_PER_CHUNK * self.max_batch // each)

    def run(self, run: Run, advance: Advance) -> dict[int, str]:
        """Searches all units that have no explanation in the run folder yet.

        Args:
            run: The run folder.
            advance: Called with numbers of latent steps; at least `unit_steps` per unit in the end.

        Returns:
            Why units could not be searched, by their number.
        """
        failures = {i: why for i in range(len(self.units)) if (why := self.units.trouble(i))}
        units = [unit for unit in range(len(self.units)) if unit not in failures]
        advance(self.unit_steps * len(failures))
        with Interruption() as interruption:
            for first in range(0, len(units), self.chunk_units):
                run.require_present()
                # The same chunks whatever is done: so a run that goes on ends with the same bits.
                chunk = units[first : first + self.chunk_units]
                left = self.unit_steps * len(chunk)

                def on_steps(steps: int) -> None:
                    nonlocal left
                    interruption.raise_if_requested()
                    advance(steps)
                    left -= steps

                if not all(self._is_done(run, unit) for unit in chunk):
                    failures |= self._search(chunk, run, on_steps)
                advance(max(0, left))
        return failures

    def _is_done(self, run: Run, unit: int) -> bool:
        """Whether a unit's explanations are there, and whole; damaged ones are removed."""
        paths = [explanation_path(run.folder, unit, one) for one in self.directions]
        try:
            return all(path.exists() and read_explanation(path) for path in paths)
        except InputError as error:
            warnings.warn(f"{error}; it is computed again", stacklevel=2)
            for path in paths:
                path.unlink(missing_ok=True)
            return False

    def _search(self, chunk: list[int], run: Run, on_steps: OnLatentSteps) -> dict[int, str]:
        """Searches a chunk; one that fails is halved, until the units that fail are alone."""
        search = self._path_search(chunk)
        way = _Way(search, self.prior_weights)
        try:
            results = search.run(way.add, on_steps)
        except InputError as error:
            if len(chunk) == 1:
                return {chunk[0]: str(error)}
            half = len(chunk) // 2
            first = self._search(chunk[:half], run, on_steps)
            return first | self._search(chunk[half:], run, on_steps)
        run.require_present()
        for target, found in enumerate(results):
            unit = chunk[target // len(self.directions)]
            steps, latents = way.of(target, found)
            examples = self.engine.evaluate(
                latents.reshape(-1, *latents.shape[2:]), places=[unit] * (len(steps) * WAYS)
            ).examples
            explanation = _explanation(
                self.units.names[unit],
                found,
                way_steps=steps,
                way_examples=examples.reshape(len(steps), -1, *examples.shape[1:]),
            )
            write_explanation(run.folder, unit, explanation)
        return {}

    def _path_search(self, chunk: list[int]) -> PathSearch:
        statistics, count = self.units.statistics, len(self.units.seeds)
        real = {"max": statistics.highest, "min": statistics.lowest}
        given = {one: real[one][chunk, :count] for one in self.directions}
        starts = [
            self.draws.nearest(unit, given[one][row].mean())
            for row, unit in enumerate(chunk)
            for one in self.directions
        ]
        return PathSearch(
            self.engine,
            np.stack(starts),
            highest=given.get("max"),
            lowest=given.get("min"),
            learning_rate=self.learning_rate,
            prior_weights=self.prior_weights,
            steps=geometric_steps(self.max_steps),
            max_batch=self.max_batch,
            places=chunk,
            negligible=_NEGLIGIBLE * statistics.variance[chunk],
        )


class _Way:
    """The first latents of every group at each snapshot, as far as it was searched."""

    def __init__(self, search: PathSearch, prior_weights: Sequence[float]):
        self._steps, self._weights = search.steps, list(prior_weights)
        self._seen: list[dict[int, np.ndarray]] = []

    def add(self, state: PathState) -> None:
        """Notes a snapshot."""
        latents = state.search.last_seen
        if len(latents):
            latents = latents.reshape(len(state.active), -1, *latents.shape[1:])[:, :WAYS]
        self._seen.append(dict(zip(state.active.tolist(), latents, strict=True)))

    def of(self, target: int, found: PathResult) -> tuple[np.ndarray, np.ndarray]:
        """(T,) steps and (T, latents, ...) latents: on the way, of the configuration, too far."""
        weight = self._weights.index(found.configuration.prior_weight)
        group = target * len(self._weights) + weight
        seen = {
            number: groups[group] for number, groups in enumerate(self._seen) if group in groups
        }
        best = self._steps.tolist().index(found.configuration.num_steps)
        seen[best] = found.latents[:WAYS]  # Where the search ends, the group has left already.
        wanted = sorted({best // 2, best, max(seen)})
        return self._steps[wanted], np.stack([seen[number] for number in wanted])


def _explanation(unit: str, found: PathResult, **way: Any) -> Explanation:
    fields = {field.name for field in dataclasses.fields(Explanation)}
    common = {name: value for name, value in vars(found).items() if name in fields}
    return Explanation(unit=unit, **common, **way)
