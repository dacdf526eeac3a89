"""The path search: prior weight and number of steps found in one run, without a grid.

Section 3.4 tries a grid of learning rates, prior weights and numbers of steps, and eq. 3 chooses.
But Adam moves a latent by about one learning rate per step: only the product of rate and steps
matters, and shorter runs are snapshots of longer ones. So one rate is enough. All responses, both
directions, all prior weights and all latents are one batch. At snapshots, whose steps grow
geometrically, the responses reached are compared with the extreme real ones (eq. 3). The distance
falls as responses approach the real ones and rises as they pass them: latents whose distance has
not fallen by 1 % in some snapshots, or has risen by 15 %, leave the batch, and the search ends
when all have left.

A snapshot costs nothing: it is what the next step computes anyway.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError, require_finite
from svdam.evaluation.frechet import scalar_distances
from svdam.evaluation.ranking import Configuration, distance_interval
from svdam.explain.arguments import per_latent
from svdam.explain.choices import PRIOR_WEIGHTS
from svdam.explain.maximization import Maximizer
from svdam.explain.responses import Response
from svdam.explain.search_states import SearchState

_LEAST_FALL = 0.01
"""Share by which the distance has to fall in ``patience`` snapshots: some would creep forever."""
_CLEAR_RISE = 0.15
"""Share by which a distance that has turned is above its least; late snapshots cost most."""

OnLatentSteps = Callable[[int], object]
"""Called many times per snapshot, with the number of latent steps just done."""


@dataclasses.dataclass(frozen=True)
class PathResult:
    """What explains a response in one direction: the best prior weight and number of steps.

    Attributes:
        response: The response that was driven.
        direction: ``max`` or ``min``.
        configuration: The one with the smallest distance.
        has_turned: Whether the distance has stopped falling, for every prior weight. If not, more
            steps may be better.
        distance: Eq. 3 between ``responses`` and the extreme real responses.
        distance_low: Lower end of its 95 % bootstrap interval.
        distance_high: Upper end.
        latents: (N, n) after these steps.
        examples: (N, frames, mels, 1) log-mel of these latents.
        responses: (N,).
        prior_weights: (weights,) that were tried.
        steps: (snapshots,) numbers of steps that were tried.
        distances: (weights, snapshots) distances; NaN where the search had stopped.
        path_responses: (weights, snapshots, N) responses, likewise.
    """

    response: Response
    direction: str
    configuration: Configuration
    has_turned: bool
    distance: float
    distance_low: float
    distance_high: float
    latents: np.ndarray
    examples: np.ndarray
    responses: np.ndarray
    prior_weights: np.ndarray
    steps: np.ndarray
    distances: np.ndarray
    path_responses: np.ndarray


@dataclasses.dataclass(frozen=True)
class PathState:
    """Where a path search stands between two snapshots: arrays, which can be stored.

    A target is a response in one direction; a group is a target with one prior weight, and its N
    latents. Groups are numbered target by target.

    Attributes:
        num_snapshots: Snapshots done.
        latent_steps: Steps done, summed over latents.
        active: (A,) numbers of the groups that are still searched.
        search: State of their latents, (A * N) rows.
        distances: (targets, weights, snapshots); NaN where there is none.
        responses: (targets, weights, snapshots, N); NaN where there is none.
        best_latents: (targets, N, n) with the smallest distance so far.
    """

    num_snapshots: int
    latent_steps: int
    active: np.ndarray
    search: SearchState
    distances: np.ndarray
    responses: np.ndarray
    best_latents: np.ndarray


def geometric_steps(max_steps: int = 1000, growth: float = 1.25) -> tuple[int, ...]:
    """Steps 1, 2, 3, ... that grow by about a factor, up to ``max_steps``.

    Raises:
        InputError: If ``max_steps`` is less than 1, or ``growth`` not above 1.
    """
    if max_steps < 1 or not 1 < growth < math.inf:
        raise InputError(
            f"found max_steps {max_steps} and growth {growth:g}, expected at least 1 and more than "
            "1"
        )
    steps = [1]
    while steps[-1] < max_steps:
        steps.append(min(max_steps, max(steps[-1] + 1, round(steps[-1] * growth))))
    return tuple(steps)


class PathSearch:
    """The search for one set of responses; deterministic, and as large as memory allows.

    Example:
        Two units of a layer, in both directions. ``highest`` and ``lowest`` are what
        `svdam.collect_responses` finds; here each row holds the 12 highest, or lowest, responses
        of real excerpts to one unit:

        ```python
        units = ["fc2:3", "fc2:17"]
        search = PathSearch(
            Maximizer(generator, classifier, units),
            latents_from_seeds(range(12), 128),
            highest=highest,  # (2, 12)
            lowest=lowest,
        )
        for found in search.run():
            print(found.response, found.direction, found.configuration, found.distance)
        ```
    """

    def __init__(
        self,
        engine: Maximizer,
        latents: np.ndarray,
        *,
        highest: np.ndarray | None = None,
        lowest: np.ndarray | None = None,
        learning_rate: float = 0.05,
        prior_weights: Sequence[float] = PRIOR_WEIGHTS,
        steps: Sequence[int] = geometric_steps(),
        patience: int = 3,
        max_batch: int = 150,
        places: Sequence[int] | None = None,
        negligible: float | Sequence[float] | np.ndarray = 0.0,
    ):
        """Starts nothing yet.

        Args:
            engine: Generator, classifier and responses; with Adam.
            latents: (N, n) starting points, the same for every response, or (targets, N, n): those
                of the first response maximized, then minimized, and so on. N is at least 2.
            highest: (responses, M) highest real responses, or (M,) where one response is
                explained; M = N in the paper. None: nothing is maximized.
            lowest: Lowest real responses, likewise. None: nothing is minimized.
            learning_rate: Of Adam.
            prior_weights: Weights lambda of the prior (eq. 2).
            steps: Numbers of steps to compare, increasing.
            patience: Snapshots in which the smallest distance has to fall by 1 %, else a prior
                weight is given up. After that many, it is also given up as soon as its distance is
                15 % above its smallest.
            max_batch: Latents that are optimized at once, which bounds the memory.
            places: Positions in the responses of the engine, of those to explain, in the order of
                the real responses; all by default.
            negligible: Distance that need not be improved any more, or one per response: a prior
                weight that comes below it is given up after ``patience`` snapshots.

        Raises:
            InputError: If a value is out of range, or shapes do not fit.
        """
        self._engine = engine
        self._rate = learning_rate
        self._weights = np.asarray(prior_weights, np.float64)
        self.steps = np.asarray(steps, np.int64)
        self._patience, self._max_batch = patience, max_batch
        per_latent("learning_rate", learning_rate, 1, above=0)
        per_latent("prior_weights", self._weights, max(1, self._weights.size), minimum=0)
        if not self.steps.size or self.steps[0] < 1 or (np.diff(self.steps) < 1).any():
            raise InputError(f"steps: found {list(steps)}, expected increasing steps from 1 on")
        if patience < 1 or max_batch < 1:
            raise InputError(
                f"found patience {patience} and max_batch {max_batch}, expected at least 1 each"
            )
        given = {"max": ("highest", highest), "min": ("lowest", lowest)}
        chosen = list(range(len(engine.responses))) if places is None else list(places)
        real = {
            direction: _validate_real(name, values, len(chosen))
            for direction, (name, values) in given.items()
            if values is not None
        }
        if not real:
            raise InputError("highest, lowest: found neither, expected real responses to approach")
        self._targets = [(place, one) for place in chosen for one in real]
        self._real = [real[one][row] for row in range(len(chosen)) for one in real]
        of_response = per_latent("negligible", negligible, len(chosen), minimum=0)
        self._negligible = np.repeat(of_response, len(real))
        self._starts = self._validated(np.asarray(latents))
        self._real_means = np.array([one.mean() for one in self._real])
        self._real_variances = np.array([one.var(ddof=1) for one in self._real])

    def run(
        self,
        on_snapshot: Callable[[PathState], object] | None = None,
        on_steps: OnLatentSteps | None = None,
    ) -> list[PathResult]:
        """The whole search.

        Args:
            on_snapshot: Called after each snapshot.
            on_steps: See `OnLatentSteps`.

        Returns:
            One result per response and direction; responses in the order of the engine, maximized
            before minimized.

        Raises:
            InputError: If a response is not finite from the start.
        """
        state = self.start()
        while not self.is_done(state):
            state = self.advance(state, on_steps)
            if on_snapshot:
                on_snapshot(state)
        return list(self.results(state))

    def start(self) -> PathState:
        """The state before the first step."""
        count, size = self._starts.shape[:2]
        places, directions = zip(*self._targets, strict=True)
        each = len(self._weights) * size  # Latents of a target.
        search = self._engine.start(
            np.repeat(self._starts, len(self._weights), axis=0).reshape(
                -1, *self._starts.shape[2:]
            ),
            self._rate,
            np.tile(np.repeat(self._weights, size), count),
            np.repeat(places, each),
            np.repeat(directions, each).tolist(),
        )
        return PathState(
            num_snapshots=0,
            latent_steps=0,
            active=np.arange(count * len(self._weights)),
            search=search,
            distances=np.full((count, len(self._weights), len(self.steps)), np.nan),
            responses=np.full((count, len(self._weights), len(self.steps), size), np.nan),
            best_latents=self._starts.astype(search.latents.dtype),
        )

    def is_done(self, state: PathState) -> bool:
        """Whether every distance has turned, or the last step is done."""
        return not state.active.size or state.num_snapshots == len(self.steps)

    def advance(self, state: PathState, on_steps: OnLatentSteps | None = None) -> PathState:
        """The search up to its next snapshot; ``state`` is left as it is."""
        number, size = state.num_snapshots, self._starts.shape[1]
        # One step more than the snapshot: it begins with the responses after the snapshot's steps.
        first = self.steps[number - 1] + 1 if number else 0
        stop = self.steps[number] + 1
        flat, search = self._advance(state.search, int(first), int(stop), on_steps)
        responses = flat.reshape(-1, size).astype(np.float64)
        target, weight = np.divmod(state.active, len(self._weights))
        distances = state.distances.copy()
        distances[target, weight, number] = self._distances(responses, target)
        if not number:
            self._require_finite(distances[:, :, 0])
        path, best_latents = state.responses.copy(), state.best_latents.copy()
        path[target, weight, number] = responses
        latents = search.last_seen.reshape(-1, *best_latents.shape[1:])
        for one in np.unique(target):
            best_weight, best_number = _best(distances[one, :, : number + 1])
            if best_number == number:
                row = np.flatnonzero((target == one) & (weight == best_weight))[0]
                best_latents[one] = latents[row]
        so_far = np.maximum(
            distances[target, weight, : number + 1], self._negligible[target, np.newaxis]
        )
        before = so_far[:, : max(0, number + 1 - self._patience)].min(axis=1, initial=np.inf)
        least = so_far.min(axis=1)
        stays = least < (1 - _LEAST_FALL) * before
        if number >= self._patience:
            stays &= so_far[:, -1] <= (1 + _CLEAR_RISE) * least
        rows = np.repeat(stays, size)
        return PathState(
            num_snapshots=number + 1,
            latent_steps=state.latent_steps + flat.size * int(stop - first),
            active=state.active[stays],
            search=tf.nest.map_structure(lambda part: part[rows], search),
            distances=distances,
            responses=path,
            best_latents=best_latents,
        )

    def results(self, state: PathState) -> Iterator[PathResult]:
        """The best of what was found; one at a time, since examples are large."""
        still = set(state.active // len(self._weights))
        for number, (place, direction) in enumerate(self._targets):
            curves, path = state.distances[number], state.responses[number]
            weight, snapshot = _best(curves)
            responses = path[weight, snapshot]
            low, high = distance_interval(responses, self._real[number])
            latents = state.best_latents[number]
            found = self._engine.evaluate(latents, places=[place] * len(latents))
            yield PathResult(
                response=self._engine.responses[place],
                direction=direction,
                configuration=Configuration(
                    self._rate, float(self._weights[weight]), int(self.steps[snapshot])
                ),
                has_turned=number not in still,
                distance=float(curves[weight, snapshot]),
                distance_low=low,
                distance_high=high,
                latents=latents,
                examples=found.examples,
                responses=responses,
                prior_weights=self._weights,
                steps=self.steps[: state.num_snapshots],
                distances=curves[:, : state.num_snapshots],
                path_responses=path[:, : state.num_snapshots],
            )

    def _advance(
        self, search: SearchState, first: int, stop: int, on_steps: OnLatentSteps | None
    ) -> tuple[np.ndarray, SearchState]:
        """(latents,) responses after ``stop - 1`` steps, and the state after ``stop``."""
        count = len(search.latents)
        responses, states = [], []
        for rows in np.array_split(np.arange(count), math.ceil(count / self._max_batch)):

            def tell(steps: int, history: object, size: int = len(rows)) -> None:
                if on_steps:
                    on_steps(steps * size)

            part = tf.nest.map_structure(lambda values, rows=rows: values[rows], search)
            history, moved = self._engine.advance(part, first, stop, tell)
            responses.append(history[-1])
            states.append(moved)
        joined = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *states)
        return np.concatenate(responses), joined

    def _distances(self, responses: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Eq. 3 of (groups, N) responses; infinite where one is not finite."""
        with np.errstate(invalid="ignore", over="ignore"):
            distances = scalar_distances(
                self._real_means[target],
                self._real_variances[target],
                responses.mean(axis=1),
                responses.var(axis=1, ddof=1),
            )
        return np.where(np.isfinite(distances), distances, np.inf)

    def _validated(self, latents: np.ndarray) -> np.ndarray:
        """(targets, N, ...) starting points."""
        count, shape = len(self._targets), self._engine.latent_shape
        found = latents.shape
        if latents.ndim == 1 + len(shape):
            latents = np.stack([latents] * count)
        if latents.shape != (count, *latents.shape[1:2], *shape) or latents.shape[1] < 2:
            raise InputError(
                f"latents: found shape {found}, expected (N, n), or ({count}, N, n) for {count} "
                "targets, with N at least 2: a variance needs two"
            )
        return latents

    def _require_finite(self, distances: np.ndarray) -> None:
        """Refuses targets that have no distance at the first snapshot."""
        for (place, _), row in zip(self._targets, distances, strict=True):
            if not np.isfinite(row).any():
                raise InputError(
                    f"response: {self._engine.responses[place]} is not finite after "
                    f"{self.steps[0]} steps; look at the models"
                )


def _best(curves: np.ndarray) -> tuple[int, int]:
    """(weight, snapshot) of the smallest distance; ties go to fewer steps."""
    snapshot, weight = np.unravel_index(np.nanargmin(curves.T), curves.T.shape)
    return int(weight), int(snapshot)


def _validate_real(name: str, values: np.ndarray, num_responses: int) -> np.ndarray:
    real = np.asarray(values, np.float64)
    real = real[np.newaxis] if real.ndim == 1 and num_responses == 1 else real
    if real.ndim != 2 or len(real) != num_responses or real.shape[1] < 2:
        raise InputError(
            f"{name}: found shape {np.shape(values)}, expected ({num_responses}, M): at least two "
            "real responses for each of the responses"
        )
    require_finite(real, name)
    return real
