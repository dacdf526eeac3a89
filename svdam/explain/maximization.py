"""Activation maximization with a GAN as prior: eq. 2, and eq. 1 without a generator.

All latents are one batch. Adam treats every coordinate by itself, so latents with other learning
rates, prior weights, responses and directions do not touch each other, and the first 100 steps of
a run of 1000 are the run of 100: a whole grid of settings is one run with snapshots, and so are all
units of a layer.

What is maximized (`responses`), what constrains it (`priors`), what is searched (the generator's
latent, or the excerpt itself) and how (`optimizers`) are chosen apart from each other.
"""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError, require_finite
from svdam.explain.arguments import (
    per_latent,
    places_per_latent,
    require_choice,
    signs_per_latent,
    validate_steps,
)
from svdam.explain.choices import KEEP, PRIORS
from svdam.explain.optimizers import Adam, GradientAscent, Optimizer
from svdam.explain.priors import log_prior
from svdam.explain.replicas import Replicas
from svdam.explain.responses import (
    Response,
    named_layers,
    response_list,
    response_table,
)
from svdam.explain.search_states import (
    Maximization,
    OnSteps,
    SearchState,
    Snapshot,
    named_history,
)
from svdam.models.acceleration import accelerated
from svdam.models.names import graph_names
from svdam.models.shapes import matched_models

_SECONDS_PER_CALL = 1.0  # Of the compiled loop: often enough for progress and Ctrl-C.
_MOST_STEPS_PER_CALL = 50


def maximize(
    generator: keras.Model | None,
    classifier: keras.Model,
    latents: np.ndarray,
    *,
    response: Response | Sequence[Response] = "logit",
    direction: str | Sequence[str] = "max",
    learning_rate: float | np.ndarray,
    prior_weight: float | np.ndarray,
    num_steps: int,
    snapshot_steps: Sequence[int] = (),
    prior: str = "paper",
    keep: str = "last",
    optimizer: Optimizer | None = None,
    strategy: tf.distribute.Strategy | None = None,
    on_steps: OnSteps | None = None,
) -> Maximization:
    """Searches the latents whose sounds drive the response up or down (eq. 2).

    Ascends ``f_a(classifier(generator(z))) + prior_weight * log p(z)``, with ``-f_a`` when
    minimizing, over z only, by Adam (0.99, 0.999, 1e-8; Section 3.4).

    Args:
        generator: From (batch, n) latents to the classifier's input. None: the latents are
            excerpts themselves, ``prior`` must be ``none`` and ``prior_weight`` 0 (eq. 1).
        classifier: From excerpts to responses.
        latents: (batch, n) starting points.
        response: What to maximize; see `svdam.explain.responses`. Also a list with one response
            per latent: latents of different units share the batch and do not affect each other.
        direction: ``max`` or ``min``, or a list with one per latent.
        learning_rate: A scalar, or one value per latent.
        prior_weight: lambda of eq. 2; a scalar, or one value per latent.
        num_steps: Steps of the optimizer.
        snapshot_steps: Steps after which to keep the state, besides the last. With a constant rate
            (Adam) each is the result of a run of that many steps.
        prior: See `svdam.explain.priors`.
        keep: ``last``: results are those after the last step, as in the paper. ``best``: those of
            the best response seen so far, the start included.
        optimizer: See `svdam.explain.optimizers`; Adam as in the paper by default.
        strategy: Splits the latents over devices; None for the strategy in scope, or one device.
        on_steps: Called several times a run, with the number of steps just done and their history:
            each of `HISTORIES` by name, (steps, latents of this process).

    Returns:
        The result; arrays have the dtype of the generator's input.

    Raises:
        InputError: If a value is out of range, shapes do not fit each other, or a combination has
            no meaning.

    Example:
        Two units of a layer, each driven up from the same two latents:

        >>> import numpy as np, svdam
        >>> starts = svdam.latents_from_seeds(range(2), 128)
        >>> found = maximize(
        ...     svdam.build_generator(),
        ...     svdam.build_svdnet(),
        ...     np.concatenate([starts, starts]),
        ...     response=["fc2:3", "fc2:3", "fc2:17", "fc2:17"],
        ...     learning_rate=0.01,
        ...     prior_weight=0.001,
        ...     num_steps=2,
        ... )
        >>> found.response_history.shape
        (3, 4)
        >>> figure = found.plot()  # In a notebook, found.audio(0) shows a player.
    """
    responses, places = list(dict.fromkeys(response_list(response))), None
    if not callable(response) and not isinstance(response, str):
        places = [responses.index(one) for one in response_list(response)]
    engine = Maximizer(
        generator, classifier, responses, direction, prior, keep, optimizer, strategy
    )
    return engine.run(
        latents, learning_rate, prior_weight, num_steps, snapshot_steps, on_steps, places
    )


class Maximizer:
    """Eq. 2 for one generator and classifier, compiled once for any number of batches.

    Attributes:
        responses: The responses that latents can drive.
        latent_shape: Shape of one latent.
    """

    def __init__(
        self,
        generator: keras.Model | None,
        classifier: keras.Model,
        response: Response | Sequence[Response] = "logit",
        direction: str | Sequence[str] = "max",
        prior: str = "paper",
        keep: str = "last",
        optimizer: Optimizer | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ):
        """Compiles nothing yet. The arguments are those of `maximize`, except for these.

        Args:
            response: A response, or several, among which `run` chooses for each latent.
            direction: Default of `run`.
        """
        self.responses = response_list(response)
        signs_per_latent(direction, 1 if isinstance(direction, str) else len(direction))
        require_choice("prior", prior, PRIORS)
        require_choice("keep", keep, KEEP)
        if generator is None and prior != "none":
            raise InputError("--prior: without a generator there is no latent; expected none")
        names = [name for one in self.responses for name in named_layers(one)]
        generator, classifier = matched_models(generator, classifier, names)
        self._replicas = Replicas(strategy)
        with self._replicas.scope():
            self._generator = generator and accelerated(generator)
            self._respond = response_table(accelerated(classifier), self.responses)
        first = generator or classifier
        self.latent_shape = tuple(first.input_shape[1:])
        dtype = tf.as_dtype(first.inputs[0].dtype)
        self._dtype = tf.float32 if dtype.size < 4 else dtype
        self._direction = direction
        self._prior = prior
        self._keep_best = keep == "best"
        self._optimizer = optimizer or Adam()

    def run(
        self,
        latents: np.ndarray,
        learning_rate: float | np.ndarray,
        prior_weight: float | np.ndarray,
        num_steps: int,
        snapshot_steps: Sequence[int] = (),
        on_steps: OnSteps | None = None,
        places: Sequence[int] | np.ndarray | None = None,
        direction: str | Sequence[str] | None = None,
    ) -> Maximization:
        """Optimizes one batch. The arguments are those of `maximize`, except for these.

        Args:
            places: (batch,) positions in `responses`, where there are several: what each latent
                drives.
            direction: ``max`` or ``min``, or one per latent; None for that of the constructor.
        """
        stops = validate_steps(num_steps, snapshot_steps)
        start = self.start(latents, learning_rate, prior_weight, places, direction)
        batch, state = len(start.latents), self._replicas.split(start)
        rows: list[list[np.ndarray]] = []
        snapshots, step = {}, 0
        for stop in stops:
            more, state = self._walk(state, step, stop, num_steps, on_steps)
            rows, step = rows + more, stop
            snapshots[stop], last_row, state = self._snapshot(state, batch)
        history = self._joined_history([*rows, last_row], batch)
        final = snapshots[num_steps]
        kept = {step: snapshots[step] for step in stops if step in set(snapshot_steps)}
        return Maximization(**vars(final), **named_history(history), snapshots=kept)

    def start(
        self,
        latents: np.ndarray,
        learning_rate: float | np.ndarray,
        prior_weight: float | np.ndarray,
        places: Sequence[int] | np.ndarray | None = None,
        direction: str | Sequence[str] | None = None,
    ) -> SearchState:
        """The state before the first step, as arrays; see `run` for the arguments."""
        latents = self._validate_latents(latents)
        batch, dtype = len(latents), latents.dtype
        weights = per_latent("prior_weight", prior_weight, batch, minimum=0)
        if self._prior == "none" and weights.any():
            raise InputError(
                "--prior_weights: without a prior there is nothing to weigh; expected 0"
            )
        return SearchState(
            latents,
            tuple(part.numpy() for part in self._optimizer.start(tf.constant(latents))),
            last_seen=latents,
            best_latents=latents,
            best_gains=np.full(batch, -np.inf, dtype),
            rates=per_latent("learning_rate", learning_rate, batch, above=0).astype(dtype),
            weights=weights.astype(dtype),
            signs=signs_per_latent(direction or self._direction, batch).astype(dtype),
            places=places_per_latent(places, len(self.responses), batch),
        )

    def advance(
        self, state: SearchState, step: int, stop: int, on_steps: OnSteps | None = None
    ) -> tuple[np.ndarray, SearchState]:
        """Continues a search: the steps from ``step``, where ``state`` is, to ``stop``.

        Args:
            state: Arrays, from `start` or the call before; any choice of their rows will do.
            step: Number of steps done.
            stop: Number of steps to have done in the end, at least one more.
            on_steps: See `maximize`.

        Returns:
            (stop - step, batch) responses before each of these steps, and the state after them as
            arrays: ``last_seen`` are the latents of the last row.

        Raises:
            InputError: If the optimizer is `GradientAscent`.
        """
        if isinstance(self._optimizer, GradientAscent):
            raise InputError(
                "optimizer: the rate of GradientAscent depends on the length of the run, which "
                "cannot be continued; expected Adam"
            )
        batch = len(state.latents)
        rows, moved = self._walk(self._replicas.split(state), step, stop, stop, on_steps)
        joined = tf.nest.map_structure(
            lambda value: self._replicas.join(self._replicas.local(value), batch), moved
        )
        return self._joined_history(rows, batch)[0], joined

    def evaluate(
        self,
        latents: np.ndarray,
        batch_size: int = 64,
        places: Sequence[int] | np.ndarray | None = None,
    ) -> Snapshot:
        """Examples, responses and log priors of latents as they are, without any step."""
        latents = self._validate_latents(latents)
        chosen = places_per_latent(places, len(self.responses), len(latents))
        parts = []
        for start in range(0, len(latents), batch_size):
            rows = slice(start, start + batch_size)
            found = self._evaluate(tf.constant(latents[rows]), tf.constant(chosen[rows]))
            parts.append([latents[rows], *(part.numpy() for part in found)])
        return Snapshot(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @tf.function(reduce_retracing=True)
    def _evaluate(self, latents, places):
        examples = self._examples(latents)
        return examples, self._responses(examples, places), log_prior(latents, self._prior)

    def _walk(
        self, state, step: int, stop: int, length: int, on_steps: OnSteps | None
    ) -> tuple[list[list[np.ndarray]], Any]:
        """Steps of a run of ``length``: the local rows of the history call by call, the state."""
        rows, count, num_steps = [], 1, tf.constant(length)
        while step < stop:
            count = min(count, stop - step)
            began = time.monotonic()
            row, state = self._advance(state, tf.constant(step), tf.constant(count), num_steps)
            rows.append(self._replicas.local(row))
            step += count
            count = _next_count(count, time.monotonic() - began)
            if on_steps:
                history = np.concatenate(rows[-1], axis=2)
                on_steps(history.shape[1], named_history(history))
        return rows, state

    def _joined_history(self, rows: list[list[np.ndarray]], batch: int) -> np.ndarray:
        """(4, steps, batch) of the local rows of all calls."""
        parts = [np.concatenate(part, axis=1) for part in zip(*rows, strict=True)]
        return self._replicas.join(parts, batch, axis=2)

    @tf.function(reduce_retracing=True)
    def _advance(self, state, step, count, num_steps):
        return self._replicas.run(self._steps, state, step, count, num_steps)

    @tf.function(reduce_retracing=True)
    def _look(self, state):
        return self._replicas.run(self._seen, state)

    def _examples(self, latents):
        if self._generator is None:
            return latents
        with graph_names(self._generator):
            return tf.cast(self._generator(latents, training=False), self._dtype)

    def _responses(self, examples, places):
        return tf.cast(self._respond(examples, places), self._dtype)

    def _steps(self, state, step, count, num_steps):
        """``count`` steps, and the history (4, count, batch) of the states they started from."""
        history = tf.TensorArray(self._dtype, size=count)
        for offset in tf.range(count):
            row, gradients, _, state = self._seen(state)
            history = history.write(offset, row)
            latents, memory = self._optimizer.ascend(
                state.latents, gradients, state.memory, state.rates, step + offset, num_steps
            )
            state = state._replace(latents=latents, memory=memory)
        return tf.transpose(history.stack(), (1, 0, 2)), state

    def _seen(self, state):
        """(row of the history (4, batch), gradient of eq. 2's objective, examples, state)."""
        latents = state.latents
        with tf.GradientTape() as tape:
            tape.watch(latents)
            examples = self._examples(latents)
            responses = self._responses(examples, state.places)
            log_priors = log_prior(latents, self._prior)
            objective = state.signs * responses + state.weights * log_priors
        gradients = tape.gradient(objective, latents)
        if gradients is None:
            raise InputError("--response: does not depend on the generator's latent")
        gains = state.signs * responses
        better = gains > state.best_gains
        mask = tf.reshape(better, [-1] + [1] * len(self.latent_shape))
        state = state._replace(
            last_seen=latents,
            best_latents=tf.where(mask, latents, state.best_latents),
            best_gains=tf.where(better, gains, state.best_gains),
        )
        row = tf.stack([responses, log_priors, _norms(gradients), _norms(latents)])
        return row, gradients, examples, state

    def _snapshot(self, state, batch: int) -> tuple[Snapshot, list[np.ndarray], Any]:
        """The state now, as a Snapshot and as one more row of the history, (4, 1, share)."""
        row, _, examples, state = self._look(state)
        rows = [part[:, np.newaxis] for part in self._replicas.local(row)]

        def joined(value, axis=0):
            return self._replicas.join(self._replicas.local(value), batch, axis)

        if self._keep_best:
            best, places = joined(state.best_latents), joined(state.places)
            return self.evaluate(best, places=places), rows, state
        responses, log_priors = joined(row, axis=1)[:2]
        snapshot = Snapshot(joined(state.latents), joined(examples), responses, log_priors)
        return snapshot, rows, state

    def _validate_latents(self, latents: np.ndarray) -> np.ndarray:
        latents = np.asarray(latents, self._dtype.as_numpy_dtype)
        if latents.ndim < 2 or latents.shape[1:] != self.latent_shape or not len(latents):
            expected = ", ".join(map(str, ("batch", *self.latent_shape)))
            raise InputError(f"latents: found shape {latents.shape}, expected ({expected})")
        require_finite(latents, "latents")
        return latents


def _next_count(count: int, secs: float) -> int:
    """Steps of the next call, so that a call takes about `_SECONDS_PER_CALL`."""
    affordable = int(count * _SECONDS_PER_CALL / max(secs, 1e-6))
    return max(1, min(affordable, 2 * count, _MOST_STEPS_PER_CALL))


def _norms(values: tf.Tensor) -> tf.Tensor:
    return tf.norm(tf.reshape(values, (tf.shape(values)[0], -1)), axis=1)
