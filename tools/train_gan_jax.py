"""Trains the GAN of Section 3.3 with JAX, where there is a GPU with JAX but no TensorFlow.

    python tools/train_gan_jax.py --flagfile=flags/gan.cfg --output=runs/gan_jax

The same Keras models under Keras's JAX backend, the same objectives, the same clips in the same
order as ``python -m svdam.train_gan``, whose flags it takes; latents and interpolates come from
JAX's generator instead of TensorFlow's. It needs jax, keras, numpy, h5py, absl-py, google-crc32c,
lazy-loader and tqdm, and writes the same ``generator.keras`` and ``critic.keras``. Stopped and
started again with the same command it goes on where it was. No TensorBoard: the losses go into
``losses.jsonl``.

``python tools/train_gan_jax.py --check=FILE.npz`` computes one critic and one generator step from
the arrays in a file, and writes what they led to beside it; a test compares that with TensorFlow.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import keras
import numpy as np

from svdam.core.commands import run_command
from svdam.core.config import FRONT_END, LATENT_SIZE
from svdam.core.front_end import FrontEnd
from svdam.core.interruption import Interruption
from svdam.core.npz import read_npz, write_npz
from svdam.core.precision import BFLOAT16_CAPABILITY, resolve_precision
from svdam.core.progress import progress
from svdam.core.runs import start_run
from svdam.core.settings import define_flags, settings_from_flags
from svdam.core.validation import InputError
from svdam.data.places import numbered_clips
from svdam.data.records import open_records
from svdam.models.gan_networks import build_networks
from svdam.models.loading import take_weights
from svdam.models.saving import save_model
from svdam.training.settings import GanSettings

_STATE = "jax_state.npz"


class State(NamedTuple):
    """Weights of the networks and the variables of both optimisers, as lists of arrays."""

    generator: list
    critic: list
    averaged: list
    generator_optimizer: list
    critic_optimizer: list


class Objective(NamedTuple):
    """What the networks minimise; `JaxTrainer` has one of the methods that make it.

    Attributes:
        critic: From the critic's weights, real and generated clips, and positions between them, to
            its loss, and the parts to show.
        generator: From the scores of generated clips to the generator's loss.
    """

    critic: Callable[[list, jax.Array, jax.Array, jax.Array], tuple[jax.Array, dict]]
    generator: Callable[[jax.Array], jax.Array]


class JaxTrainer:
    """Both networks, and the steps of their training as pure functions of a `State`."""

    def __init__(
        self, settings: GanSettings, front_end: FrontEnd, mean: np.ndarray, std: np.ndarray
    ):
        """Builds networks with random weights, or with those of ``--initial``.

        Args:
            settings: See `GanSettings`.
            front_end: Front end of the clips.
            mean: (bands,) mean of each band over the training frames.
            std: (bands,) their standard deviation.
        """
        self._settings, self._std = settings, jnp.asarray(std, jnp.float32)
        self._networks = settings.preset, front_end, mean, std
        keras.utils.set_random_seed(settings.seed)
        self.generator, self.critic = build_networks(*self._networks, settings.precision)
        if settings.initial:
            take_weights(settings.initial, self.generator, self.critic)
        self._optimizers = [
            keras.optimizers.Adam(rate, beta_1=settings.beta_1, beta_2=settings.beta_2)
            for rate in settings.learning_rates
        ]
        for optimizer, model in zip(self._optimizers, (self.generator, self.critic), strict=True):
            optimizer.build(model.trainable_variables)
        self._objective = {
            "wgan_gp": Objective(self._wgan_gp, lambda scores: -scores.mean()),
            "logistic": Objective(self._logistic, lambda scores: jax.nn.softplus(-scores).mean()),
        }[settings.objective]
        self.critic_step = jax.jit(self._critic_step)
        self.generator_step = jax.jit(self._generator_step)
        self.penalty_step = jax.jit(self._penalty_step)
        self.iterate = jax.jit(self._iterate)

    def state(self) -> State:
        """The state that the networks hold."""
        parts = (self.generator, self.critic, self.generator)
        weights = ([weight.value for weight in part.trainable_variables] for part in parts)
        optimizers = ([variable.value for variable in part.variables] for part in self._optimizers)
        return State(*weights, *optimizers)

    def trained(self, state: State) -> tuple[keras.Model, keras.Model]:
        """Averaged generator and critic in float32."""
        models = build_networks(*self._networks)
        for model, weights in zip(models, (state.averaged, state.critic), strict=True):
            for variable, array in zip(model.trainable_variables, weights, strict=True):
                variable.assign(np.asarray(array))
        return models

    def _scores(self, weights: list, clips: jax.Array) -> jax.Array:
        return _applied(self.critic, weights, clips)

    def _fakes(self, weights: list, latents: jax.Array) -> jax.Array:
        return _applied(self.generator, weights, latents)

    def _wgan_gp(
        self, weights: list, real: jax.Array, fake: jax.Array, positions: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The Wasserstein estimate and E (|grad D(x)| - 1)^2, x between real (1) and fake (0)."""
        distance = self._scores(weights, real).mean() - self._scores(weights, fake).mean()
        points = fake + positions[:, None, None, None] * (real - fake)
        gradients = jax.grad(lambda clips: self._scores(weights, clips).sum())(points)
        squared = jnp.square(gradients).sum(axis=(1, 2, 3))
        penalty = jnp.square(jnp.sqrt(jnp.maximum(squared, 1e-20)) - 1).mean()
        loss = self._settings.gradient_penalty * penalty - distance
        return loss, {"wasserstein_estimate": distance, "gradient_penalty": penalty}

    def _logistic(
        self, weights: list, real: jax.Array, fake: jax.Array, positions: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        real_scores, fake_scores = self._scores(weights, real), self._scores(weights, fake)
        loss = jax.nn.softplus(-real_scores).mean() + jax.nn.softplus(fake_scores).mean()
        return loss, {"real_score": real_scores.mean(), "fake_score": fake_scores.mean()}

    def _critic_step(
        self, state: State, real: jax.Array, latents: jax.Array, positions: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        fake = self._fakes(state.generator, latents)
        (value, parts), gradients = jax.value_and_grad(
            lambda weights: self._objective.critic(weights, real, fake, positions), has_aux=True
        )(state.critic)
        return self._with_critic(state, gradients), {**parts, "critic_loss": value}

    def _penalty_step(self, state: State, real: jax.Array) -> tuple[State, jax.Array]:
        """R1, as `svdam.training.logistic_gan` has it: slopes in units of each band's spread."""

        def penalty(weights: list) -> jax.Array:
            slopes = jax.grad(lambda clips: self._scores(weights, clips).sum())(real)
            return jnp.square(slopes * self._std[:, None]).sum(axis=(1, 2, 3)).mean()

        weight = 0.5 * self._settings.r1_weight * self._settings.r1_every
        value, gradients = jax.value_and_grad(penalty)(state.critic)
        return self._with_critic(state, [weight * gradient for gradient in gradients]), value

    def _with_critic(self, state: State, gradients: list) -> State:
        weights, optimizer = self._optimizers[1].stateless_apply(
            state.critic_optimizer, gradients, state.critic
        )
        return state._replace(critic=weights, critic_optimizer=optimizer)

    def _generator_step(
        self, state: State, latents: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        def loss(weights: list) -> jax.Array:
            return self._objective.generator(
                self._scores(state.critic, self._fakes(weights, latents))
            )

        value, gradients = jax.value_and_grad(loss)(state.generator)
        weights, optimizer = self._optimizers[0].stateless_apply(
            state.generator_optimizer, gradients, state.generator
        )
        state = state._replace(generator=weights, generator_optimizer=optimizer)
        return state, {"generator_loss": value}

    def _iterate(
        self, state: State, clips: jax.Array, iteration: int
    ) -> tuple[State, dict[str, jax.Array]]:
        """One iteration on (critic_steps, batch, frames, bands, 1) clips; random by its number."""
        key = jax.random.fold_in(jax.random.key(self._settings.seed), iteration)
        shape = (self._settings.batch_size, LATENT_SIZE)
        for step in range(self._settings.critic_steps):
            latents, positions = jax.random.split(jax.random.fold_in(key, step))
            state, losses = self._critic_step(
                state,
                clips[step],
                jax.random.normal(latents, shape),
                jax.random.uniform(positions, shape[:1]),
            )
        if self._settings.objective == "logistic":
            state = jax.lax.cond(
                iteration % self._settings.r1_every == 0,
                lambda state: self._penalty_step(state, clips[0])[0],
                lambda state: state,
                state,
            )
        latents = jax.random.fold_in(key, self._settings.critic_steps)
        state, more = self._generator_step(state, jax.random.normal(latents, shape))
        momentum = jnp.minimum(self._settings.ema_momentum, iteration / (iteration + 9))
        averaged = [
            momentum * old + (1 - momentum) * new
            for old, new in zip(state.averaged, state.generator, strict=True)
        ]
        return state._replace(averaged=averaged), {**losses, **more}


def _applied(model: keras.Model, weights: list, inputs: jax.Array) -> jax.Array:
    """A network's output in float32, with other trainable weights than its own."""
    fixed = [variable.value for variable in model.non_trainable_variables]
    outputs, _ = model.stateless_call(weights, fixed, inputs, training=True)
    return outputs.astype(jnp.float32)


def train(
    trainer: JaxTrainer, settings: GanSettings, folder: Path, clips: Any
) -> tuple[State, dict[str, float]]:
    """Trains until ``settings.num_iterations``, from the saved state on.

    Args:
        trainer: Both networks.
        settings: See `GanSettings`.
        folder: The run folder.
        clips: From a batch's number to critic_steps * batch_size clips.

    Returns:
        The last state, and its losses.

    Raises:
        InputError: If a loss is not finite, naming it; the saved state stays as it was.
        KeyboardInterrupt: After SIGINT or SIGTERM, once the state is saved.
    """
    state, iteration = load_state(folder / _STATE, trainer.state())
    losses: dict[str, float] = {}
    shape = (settings.critic_steps, settings.batch_size)
    bar = progress(total=settings.num_iterations, initial=iteration, description="GAN", unit="it")
    with Interruption() as interruption, bar, open(folder / "losses.jsonl", "a") as log:
        while iteration < settings.num_iterations:
            batch = clips(iteration)
            state, found = trainer.iterate(
                state, batch.reshape(shape + batch.shape[1:]), np.uint32(iteration)
            )
            iteration += 1
            bar.update()
            stops = iteration == settings.num_iterations or interruption.signal is not None
            saves = stops or iteration % settings.checkpoint_every == 0
            if saves or iteration % settings.scalars_every == 0:
                losses = _finite(found, iteration - 1)
                log.write(json.dumps({"iteration": iteration, **losses}) + "\n")
            if saves:
                save_state(folder / _STATE, state, iteration)
                log.flush()
            interruption.raise_if_requested()
    return state, {"iterations": iteration, **losses}


def save_state(path: Path, state: State, iteration: int) -> None:
    """Writes everything that training goes on from, atomically."""
    arrays = {"iteration": np.array(iteration)}
    for name, part in state._asdict().items():
        arrays |= _named(name, part)
    write_npz(path, arrays)


def load_state(path: Path, fresh: State) -> tuple[State, int]:
    """The saved state and its iteration; ``fresh`` and 0 if there is none."""
    if not path.exists():
        return fresh, 0
    arrays = read_npz(path)
    parts = (
        # Scalars come back as arrays of one element.
        [
            jnp.reshape(arrays[f"{name}/{number:03d}"], like.shape)
            for number, like in enumerate(part)
        ]
        for name, part in fresh._asdict().items()
    )
    return State(*parts), int(arrays["iteration"].item())


def _named(name: str, part: list) -> dict[str, np.ndarray]:
    return {f"{name}/{number:03d}": np.asarray(array) for number, array in enumerate(part)}


def _finite(losses: dict[str, jax.Array], iteration: int) -> dict[str, float]:
    values = {name: float(value) for name, value in losses.items()}
    for name, value in values.items():
        if not np.isfinite(value):
            raise InputError(f"iteration {iteration}: {name} is {value}; the saved state stays")
    return values


def check(path: Path) -> None:
    """One critic and one generator step, each from the given weights, clips and random numbers."""
    arrays = read_npz(path)
    settings = GanSettings(
        preset=str(arrays["preset"]),
        objective=str(arrays["objective"]),
        batch_size=len(arrays["real"]),
        precision="float32",
    )
    trainer = JaxTrainer(settings, FRONT_END, arrays["mean"], arrays["std"])
    for model in (trainer.generator, trainer.critic):
        count = len(model.weights)
        model.set_weights([arrays[f"{model.name}/{number:03d}"] for number in range(count)])
    start = trainer.state()
    critic_state, losses = trainer.critic_step(
        start, arrays["real"], arrays["critic_latents"], arrays["positions"]
    )
    generator_state, more = trainer.generator_step(start, arrays["generator_latents"])
    _, more["r1_penalty"] = trainer.penalty_step(start, arrays["real"])
    found = {name: np.asarray(value) for name, value in {**losses, **more}.items()}
    for name in ("generator", "generator_optimizer"):
        found |= _named(name, getattr(generator_state, name))
    for name in ("critic", "critic_optimizer"):
        found |= _named(name, getattr(critic_state, name))
    write_npz(path.with_suffix(".jax.npz"), found)


def devices_have_bfloat16() -> bool:
    """Whether JAX runs on GPUs with instructions for bfloat16."""
    found = [getattr(device, "compute_capability", "0") for device in jax.devices()]
    return all(float(capability) >= BFLOAT16_CAPABILITY for capability in found)


def main() -> None:
    """Reads the flags and trains."""
    settings = resolve_precision(settings_from_flags(GanSettings), devices_have_bfloat16())
    records = open_records(settings.records)
    clips = numbered_clips(
        records,
        batch_size=settings.critic_steps * settings.batch_size,
        seed=settings.seed,
        clip_spacing=settings.clip_spacing,
        clips_per_track=settings.clips_per_track,
    )
    facts = {"records_fingerprint": records.fingerprint, "engine": "jax"}
    with start_run(settings.output, "train_gan", settings, facts) as run:
        trainer = JaxTrainer(settings, records.front_end, records.mean, records.std)
        state, summary = train(trainer, settings, run.folder, clips)
        for model in trainer.trained(state):
            save_model(model, run.folder / f"{model.name}.keras")
        run.mark_complete(summary)
        print(f"generator: {run.folder / 'generator.keras'}")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("--check="):
        check(Path(sys.argv[1].removeprefix("--check=")))
    else:
        define_flags(GanSettings)
        run_command(main)
