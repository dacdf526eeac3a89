"""Activation maximization with a GAN as prior: eq. 2, and eq. 1 without a generator.

All latents are one batch. Adam treats every coordinate by itself, so latents with other learning
rates, prior weights and seeds do not touch each other, and the first 100 steps of a run of 1000
are the run of 100: a whole grid of settings is one run with snapshots.

What is maximized (`responses`), what constrains it (`priors`), what is searched (the generator's
latent, or the excerpt itself) and how (`optimizers`) are chosen apart from each other.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError, require_finite
from svdam.explain.choices import DIRECTIONS, KEEP, PRIORS
from svdam.explain.optimizers import Adam, Optimizer
from svdam.explain.priors import log_prior
from svdam.explain.replicas import Replicas
from svdam.explain.responses import Response, named_layers, response_function
from svdam.models.acceleration import accelerated
from svdam.models.names import graph_names
from svdam.models.shapes import matched_models

_SECONDS_A_CALL = 1.0  # Of the compiled loop: often enough for progress and Ctrl-C.
_MOST_STEPS_A_CALL = 50

HISTORIES = (
    "response_history",
    "log_prior_history",
    "gradient_norm_history",
    "latent_norm_history",
)
"""What a run records of every state it goes through."""

OnSteps = Callable[[int, dict[str, np.ndarray]], None]
"""What is told of the steps of a run; see `maximize`."""


@dataclasses.dataclass
class Snapshot:
    """Where a batch of latents stands after some steps.

    Attributes:
        latents: (batch, n).
        examples: (batch, frames, mels, 1) log-mel, the generator's output.
        responses: (batch,).
        log_priors: (batch,) log p(z), not weighted.
    """

    latents: np.ndarray
    examples: np.ndarray
    responses: np.ndarray
    log_priors: np.ndarray


@dataclasses.dataclass
class Maximization(Snapshot):
    """The result of `maximize`: the state after the last step, and the way there.

    Attributes:
        response_history: (num_steps + 1, batch); row 0 is before the first step.
        log_prior_history: (num_steps + 1, batch).
        gradient_norm_history: (num_steps + 1, batch) Euclidean norm of the objective's gradient;
            the last row is of the state after the last step.
        latent_norm_history: (num_steps + 1, batch) Euclidean norm of the latents.
        snapshots: State after each of the steps asked for.
    """

    response_history: np.ndarray
    log_prior_history: np.ndarray
    gradient_norm_history: np.ndarray
    latent_norm_history: np.ndarray
    snapshots: dict[int, Snapshot]


def maximize(
    generator: keras.Model | None,
    classifier: keras.Model,
    latents: np.ndarray,
    *,
    response: Response = "logit",
    direction: str = "max",
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
        response: What to maximize; see `svdam.explain.responses`.
        direction: ``max`` or ``min``.
        learning_rate: A scalar, or one value a latent.
        prior_weight: lambda of eq. 2; a scalar, or one value a latent.
        num_steps: Steps of the optimizer.
        snapshot_steps: Steps after which to keep the state, besides the last. With a constant rate
            (Adam) each is the result of a run of so many steps.
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
    """
    engine = Maximizer(generator, classifier, response, direction, prior, keep, optimizer, strategy)
    return engine.run(
        latents, learning_rate, prior_weight, num_steps, snapshot_steps, on_steps=on_steps
    )


class _State(NamedTuple):
    """Where a search stands. Every tensor has one row a latent."""

    latents: tf.Tensor
    memory: tuple[tf.Tensor, ...]  # Of the optimizer.
    best_latents: tf.Tensor
    best_gains: tf.Tensor  # Response, or minus it when minimizing.
    rates: tf.Tensor
    weights: tf.Tensor


class Maximizer:
    """Eq. 2 for one generator, classifier and response, compiled once for any number of batches."""

    def __init__(
        self,
        generator: keras.Model | None,
        classifier: keras.Model,
        response: Response = "logit",
        direction: str = "max",
        prior: str = "paper",
        keep: str = "last",
        optimizer: Optimizer | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ):
        """See `maximize` for the arguments."""
        _require_choice("direction", direction, DIRECTIONS)
        _require_choice("prior", prior, PRIORS)
        _require_choice("keep", keep, KEEP)
        if generator is None and prior != "none":
            raise InputError("--prior: without a generator there is no latent; expected none")
        generator, classifier = matched_models(generator, classifier, named_layers(response))
        self._replicas = Replicas(strategy)
        with self._replicas.scope():
            self._generator = generator and accelerated(generator)
            self._respond = response_function(accelerated(classifier), response)
        first = generator or classifier
        self.latent_shape = tuple(first.input_shape[1:])
        dtype = tf.as_dtype(first.inputs[0].dtype)
        self._dtype = tf.float32 if dtype.size < 4 else dtype
        self._sign = 1 if direction == "max" else -1
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
    ) -> Maximization:
        """Optimises one batch; see `maximize`."""
        latents = self._validate_latents(latents)
        batch = len(latents)
        rates = _per_latent("learning_rate", learning_rate, batch, above=0)
        weights = _per_latent("prior_weight", prior_weight, batch, minimum=0)
        if self._prior == "none" and weights.any():
            raise InputError(
                "--prior_weights: without a prior there is nothing to weigh; expected 0"
            )
        stops = _validate_steps(num_steps, snapshot_steps)

        state = self._start(latents, rates, weights)
        length = tf.constant(num_steps)
        rows, snapshots, step, count = [], {}, 0, 1
        for stop in stops:
            while step < stop:
                count = min(count, stop - step)
                began = time.monotonic()
                row, state = self._advance(state, tf.constant(step), tf.constant(count), length)
                rows.append(self._replicas.local(row))
                step += count
                count = _next_count(count, time.monotonic() - began)
                if on_steps:
                    history = np.concatenate(rows[-1], axis=2)
                    on_steps(history.shape[1], _named_history(history))
            snapshots[stop], last_row, state = self._snapshot(state, batch)
        parts = [np.concatenate(part, axis=1) for part in zip(*rows, last_row, strict=True)]
        history = self._replicas.join(parts, batch, axis=2)
        final = snapshots[num_steps]
        kept = {step: snapshots[step] for step in stops if step in set(snapshot_steps)}
        return Maximization(**vars(final), **_named_history(history), snapshots=kept)

    def evaluate(self, latents: np.ndarray, batch_size: int = 64) -> Snapshot:
        """Examples, responses and log priors of latents as they are, without any step."""
        latents = self._validate_latents(latents)
        parts = []
        for start in range(0, len(latents), batch_size):
            batch = tf.constant(latents[start : start + batch_size])
            parts.append([batch.numpy(), *(part.numpy() for part in self._evaluate(batch))])
        return Snapshot(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @tf.function(reduce_retracing=True)
    def _evaluate(self, latents):
        examples = self._examples(latents)
        return examples, self._responses(examples), log_prior(latents, self._prior)

    @tf.function
    def _advance(self, state, step, count, num_steps):
        return self._replicas.run(self._steps, state, step, count, num_steps)

    @tf.function
    def _look(self, state):
        return self._replicas.run(self._seen, state)

    def _examples(self, latents):
        if self._generator is None:
            return latents
        with graph_names(self._generator):
            return tf.cast(self._generator(latents, training=False), self._dtype)

    def _responses(self, examples):
        return tf.cast(self._respond(examples), self._dtype)

    def _start(self, latents: np.ndarray, rates: np.ndarray, weights: np.ndarray) -> _State:
        """The state before the first step, split over the replicas."""
        dtype = self._dtype.as_numpy_dtype
        memory = tuple(part.numpy() for part in self._optimizer.start(tf.constant(latents)))
        worst = np.full(len(latents), -np.inf, dtype)
        return self._replicas.split(
            _State(latents, memory, latents, worst, rates.astype(dtype), weights.astype(dtype))
        )

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
            responses = self._responses(examples)
            log_priors = log_prior(latents, self._prior)
            objective = self._sign * responses + state.weights * log_priors
        gradients = tape.gradient(objective, latents)
        if gradients is None:
            raise InputError("--response: does not depend on the generator's latent")
        gains = self._sign * responses
        better = gains > state.best_gains
        mask = tf.reshape(better, [-1] + [1] * len(self.latent_shape))
        state = state._replace(
            best_latents=tf.where(mask, latents, state.best_latents),
            best_gains=tf.where(better, gains, state.best_gains),
        )
        row = tf.stack([responses, log_priors, _norms(gradients), _norms(latents)])
        return row, gradients, examples, state

    def _snapshot(self, state, batch: int) -> tuple[Snapshot, list[np.ndarray], _State]:
        """The state now, as a Snapshot and as one more row of the history, (4, 1, share)."""
        row, _, examples, state = self._look(state)
        rows = [part[:, np.newaxis] for part in self._replicas.local(row)]

        def joined(value, axis=0):
            return self._replicas.join(self._replicas.local(value), batch, axis)

        if self._keep_best:
            return self.evaluate(joined(state.best_latents)), rows, state
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
    """Steps of the next call, so that a call takes about `_SECONDS_A_CALL`."""
    affordable = int(count * _SECONDS_A_CALL / max(secs, 1e-6))
    return max(1, min(affordable, 2 * count, _MOST_STEPS_A_CALL))


def _norms(values: tf.Tensor) -> tf.Tensor:
    return tf.norm(tf.reshape(values, (tf.shape(values)[0], -1)), axis=1)


def _named_history(history: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(HISTORIES, history, strict=True))


def _per_latent(
    name: str, value, batch: int, minimum: float | None = None, above: float | None = None
) -> np.ndarray:
    values = np.asarray(value, np.float64)
    if values.shape not in ((), (batch,)):
        raise InputError(f"{name}: found shape {values.shape}, expected a scalar or ({batch},)")
    require_finite(values, name)
    if (minimum is not None and (values < minimum).any()) or (
        above is not None and (values <= above).any()
    ):
        expected = f"at least {minimum}" if above is None else f"more than {above}"
        raise InputError(f"{name}: found {values.min():g}, expected {expected}")
    return np.broadcast_to(values, (batch,)).copy()


def _validate_steps(num_steps: int, snapshot_steps: Sequence[int]) -> list[int]:
    if num_steps < 0 or any(not 0 <= step <= num_steps for step in snapshot_steps):
        raise InputError(
            f"num_steps: found {num_steps} with snapshots at {list(snapshot_steps)}, expected "
            "steps from 0 to num_steps"
        )
    return sorted({*snapshot_steps, num_steps})


def _require_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"--{flag}: found {value!r}, expected one of {', '.join(choices)}")
