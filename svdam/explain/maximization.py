"""Activation maximization with a GAN as prior: eq. 2, and eq. 1 without a generator.

All latents are one batch. Adam treats every coordinate by itself, so latents with other learning
rates, prior weights and seeds do not touch each other, and the first 100 steps of a run of 1000
are the run of 100: a whole grid of settings is one run with snapshots.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError, require_finite
from svdam.explain.priors import log_prior
from svdam.explain.responses import Response, response_function
from svdam.explain.settings import DIRECTIONS, KEEP, PRIORS

ADAM = {"beta_1": 0.99, "beta_2": 0.999, "epsilon": 1e-8}
"""Section 3.4."""

_STEPS_A_CALL = 10  # Of the compiled loop: often enough for progress and Ctrl-C.


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
        snapshots: State after each of the steps asked for.
    """

    response_history: np.ndarray
    log_prior_history: np.ndarray
    gradient_norm_history: np.ndarray
    snapshots: dict[int, Snapshot]


def latents_from_seeds(seeds: Sequence[int], size: int) -> np.ndarray:
    """Starting latents: seed s gives ``RandomState(s).normal(size=size)``, as the released code.

    Returns:
        (seeds, size) float64.
    """
    return np.stack([np.random.RandomState(seed).normal(size=size) for seed in seeds])


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
    on_steps: Callable[[int], None] | None = None,
) -> Maximization:
    """Searches the latents whose sounds drive the response up or down (eq. 2).

    Ascends ``f_a(classifier(generator(z))) + prior_weight * log p(z)``, with ``-f_a`` when
    minimizing, over z only, by Adam (0.99, 0.999, 1e-8; Section 3.4).

    Args:
        generator: From (batch, n) latents to the classifier's input. None: the latents are
            excerpts themselves, and ``prior`` must be ``none`` (eq. 1).
        classifier: From excerpts to responses.
        latents: (batch, n) starting points.
        response: What to maximize; see `svdam.explain.responses`.
        direction: ``max`` or ``min``.
        learning_rate: Of Adam; a scalar, or one value a latent.
        prior_weight: lambda of eq. 2; a scalar, or one value a latent.
        num_steps: Steps of Adam.
        snapshot_steps: Steps after which to keep the state, besides the last.
        prior: See `svdam.explain.priors`.
        keep: ``last``: results are those after the last step, as in the paper. ``best``: those of
            the best response seen so far, the start included.
        on_steps: Called with the number of steps just done, several times a run.

    Returns:
        The result; arrays have the dtype of the generator's input.

    Raises:
        InputError: If a value is out of range, or shapes do not fit each other.
    """
    engine = Maximizer(generator, classifier, response, direction, prior, keep)
    return engine.run(
        latents, learning_rate, prior_weight, num_steps, snapshot_steps, on_steps=on_steps
    )


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
    ):
        """See `maximize` for the arguments."""
        _require_choice("direction", direction, DIRECTIONS)
        _require_choice("prior", prior, PRIORS)
        _require_choice("keep", keep, KEEP)
        if generator is None and prior != "none":
            raise InputError("--prior: without a generator there is no latent; expected none")
        if generator is not None:
            require_matching_shapes(generator, classifier)
        self._generator = generator
        self._latent_shape = tuple((generator or classifier).input_shape[1:])
        self._dtype = tf.as_dtype((generator or classifier).inputs[0].dtype)
        self._respond = response_function(classifier, response)
        self._sign = 1 if direction == "max" else -1
        self._prior = prior
        self._keep_best = keep == "best"
        self._groups: list[_Group] = []
        self._advance = None

    def run(
        self,
        latents: np.ndarray,
        learning_rate: float | np.ndarray,
        prior_weight: float | np.ndarray,
        num_steps: int,
        snapshot_steps: Sequence[int] = (),
        on_steps: Callable[[int], None] | None = None,
    ) -> Maximization:
        """Optimises one batch; see `maximize`."""
        latents = self._validate_latents(latents)
        batch = len(latents)
        rates = _per_latent("learning_rate", learning_rate, batch, above=0)
        weights = _per_latent("prior_weight", prior_weight, batch, minimum=0)
        stops = _validate_steps(num_steps, snapshot_steps)

        order = np.argsort(rates, kind="stable")  # Groups of equal rates, one Adam each.
        back = np.argsort(order, kind="stable")
        self._prepare(latents[order], rates[order])
        weights = tf.constant(weights[order], self._dtype)
        best = self._start(weights)
        rows, snapshots, step = [], {}, 0
        for stop in stops:
            while step < stop:
                count = min(_STEPS_A_CALL, stop - step)
                history, best = self._advance(weights, tf.constant(count), best)
                rows.append([part.numpy() for part in history])
                step += count
                if on_steps:
                    on_steps(count)
            snapshots[stop], last_row, best = self._snapshot(weights, best, back)
        rows.append([part[np.newaxis] for part in last_row])
        columns = [np.concatenate(parts)[:, back] for parts in zip(*rows, strict=True)]
        final = snapshots[num_steps]
        kept = {step: snapshots[step] for step in stops if step in set(snapshot_steps)}
        return Maximization(**vars(final), **_named_history(columns), snapshots=kept)

    def evaluate(self, latents: np.ndarray, batch_size: int = 64) -> Snapshot:
        """Examples, responses and log priors of latents as they are, without any step."""
        latents = self._validate_latents(latents)
        parts = []
        for start in range(0, len(latents), batch_size):
            batch = tf.constant(latents[start : start + batch_size], self._dtype)
            parts.append([batch.numpy(), *(part.numpy() for part in self._evaluate(batch))])
        return Snapshot(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @tf.function(reduce_retracing=True)
    def _evaluate(self, latents):
        examples = self._examples(latents)
        return examples, self._responses(examples), log_prior(latents, self._prior)

    def _examples(self, latents):
        if self._generator is None:
            return latents
        return tf.cast(self._generator(latents, training=False), self._dtype)

    def _responses(self, examples):
        return tf.cast(self._respond(examples), self._dtype)

    def _gradients(self, latents, weights):
        """(gradient of eq. 2's objective, responses, log priors), for each latent by itself."""
        with tf.GradientTape() as tape:
            tape.watch(latents)
            responses = self._responses(self._examples(latents))
            log_priors = log_prior(latents, self._prior)
            objective = self._sign * responses + weights * log_priors
        return tape.gradient(objective, latents), responses, log_priors

    def _prepare(self, latents: np.ndarray, rates: np.ndarray) -> None:
        """Puts the latents, sorted by rate, into variables with an Adam each."""
        values, counts = np.unique(rates, return_counts=True)
        sizes = list(zip(values.tolist(), counts.tolist(), strict=True))
        if sizes != [(group.rate, group.size) for group in self._groups]:
            self._groups = [
                _Group(rate, size, self._latent_shape, self._dtype) for rate, size in sizes
            ]
            self._advance = tf.function(self._advance_steps)
        for group, values in zip(
            self._groups, np.split(latents, np.cumsum(counts)[:-1]), strict=True
        ):
            group.reset(values)

    def _current(self):
        return tf.concat([group.latents for group in self._groups], axis=0)

    def _start(self, weights):
        """The best so far, before the first step: (latents, sign * responses)."""
        latents = self._current()
        if not self._keep_best:
            return latents, tf.zeros_like(weights)
        return latents, tf.fill(tf.shape(weights), tf.constant(-np.inf, self._dtype))

    def _better(self, best, latents, responses):
        if not self._keep_best:
            return best
        gains = self._sign * responses
        better = gains > best[1]
        mask = tf.reshape(better, [-1] + [1] * len(self._latent_shape))
        return tf.where(mask, latents, best[0]), tf.where(better, gains, best[1])

    def _advance_steps(self, weights, count, best):
        """``count`` steps; returns the history of the states that they started from."""
        history = [tf.TensorArray(self._dtype, size=count) for _ in range(3)]
        for step in tf.range(count):
            latents = self._current()
            gradients, responses, log_priors = self._gradients(latents, weights)
            best = self._better(best, latents, responses)
            row = (responses, log_priors, _norms(gradients))
            history = [array.write(step, part) for array, part in zip(history, row, strict=True)]
            start = 0
            for group in self._groups:
                group.ascend(gradients[start : start + group.size])
                start += group.size
        return [array.stack() for array in history], best

    def _snapshot(self, weights, best, back):
        """The state now: as a Snapshot in the caller's order, and as a row of the history."""
        latents = self._current()
        gradients, responses, log_priors = self._final_gradients(latents, weights)
        best = self._better(best, latents, responses)
        row = [part.numpy() for part in (responses, log_priors, _norms(gradients))]
        snapshot = self.evaluate((best[0] if self._keep_best else latents).numpy()[back])
        return snapshot, row, best

    @tf.function(reduce_retracing=True)
    def _final_gradients(self, latents, weights):
        return self._gradients(latents, weights)

    def _validate_latents(self, latents: np.ndarray) -> np.ndarray:
        latents = np.asarray(latents, self._dtype.as_numpy_dtype)
        if latents.ndim < 2 or latents.shape[1:] != self._latent_shape or not len(latents):
            expected = ", ".join(map(str, ("batch", *self._latent_shape)))
            raise InputError(f"latents: found shape {latents.shape}, expected ({expected})")
        require_finite(latents, "latents")
        return latents


class _Group:
    """Latents that share a learning rate, and the Adam that moves them."""

    def __init__(self, rate: float, size: int, shape: tuple, dtype: tf.DType):
        self.rate, self.size = rate, size
        self.latents = tf.Variable(tf.zeros((size, *shape), dtype), trainable=True)
        self._adam = keras.optimizers.Adam(rate, **ADAM)
        self._adam.build([self.latents])

    def reset(self, latents: np.ndarray) -> None:
        """Starts anew from ``latents``, with an Adam that has seen no step."""
        self.latents.assign(latents)
        for variable in self._adam.variables:
            if variable is not self._adam._learning_rate:
                variable.assign(keras.ops.zeros_like(variable))

    def ascend(self, gradients: tf.Tensor) -> None:
        """One step of Adam up the gradient."""
        self._adam.apply([-gradients], [self.latents])


def require_matching_shapes(generator: keras.Model, classifier: keras.Model) -> None:
    """Raises InputError unless the generator makes what the classifier takes."""
    made, taken = tuple(generator.output_shape[1:]), tuple(classifier.input_shape[1:])
    if made != taken:
        raise InputError(
            f"--generator: it makes excerpts of shape {made}, but the classifier takes {taken}"
        )


def _norms(gradients: tf.Tensor) -> tf.Tensor:
    return tf.norm(tf.reshape(gradients, (tf.shape(gradients)[0], -1)), axis=1)


def _named_history(columns: list[np.ndarray]) -> dict[str, np.ndarray]:
    names = ("response_history", "log_prior_history", "gradient_norm_history")
    return dict(zip(names, columns, strict=True))


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
