"""Trains the GAN of Section 3.3 with JAX, where there is a GPU with JAX but no TensorFlow.

    python tools/train_gan_jax.py --flagfile=flags/gan.cfg --output=runs/gan_jax

The same Keras models under Keras's JAX backend, the same objective, the same clips in the same
order as ``python -m svdam.train_gan``, whose flags it takes; latents and interpolates come from
JAX's generator instead of TensorFlow's. It needs jax, keras, numpy, h5py, absl-py, google-crc32c
and tqdm, and writes the same ``generator.keras`` and ``critic.keras``. Stopped and started again
with the same command it goes on where it was. No TensorBoard: the losses go into ``losses.jsonl``.

``python tools/train_gan_jax.py --check=FILE.npz`` computes one critic and one generator step from
the arrays in a file, and writes what they led to beside it; a test compares that with TensorFlow.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import keras
import numpy as np

from svdam.core.commands import run_command
from svdam.core.config import LATENT_SIZE
from svdam.core.interruption import Interruption
from svdam.core.npz import read_npz, write_npz
from svdam.core.precision import BFLOAT16_CAPABILITY, resolve_precision
from svdam.core.progress import progress
from svdam.core.runs import start_run
from svdam.core.settings import define_flags, settings_from_flags
from svdam.core.validation import InputError
from svdam.data.places import numbered_clips
from svdam.data.records import open_records
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
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


class JaxTrainer:
    """Both networks, and the steps of WGAN-GP as pure functions of a `State`."""

    def __init__(self, settings: GanSettings):
        """Builds networks with random weights; see `GanSettings`."""
        self._settings = settings
        keras.utils.set_random_seed(settings.seed)
        keras.mixed_precision.set_dtype_policy(settings.precision)
        self.generator, self.critic = build_generator(settings.preset), build_critic()
        if settings.initial:
            take_weights(settings.initial, self.generator, self.critic)
        self._optimizers = [
            keras.optimizers.Adam(rate, beta_1=settings.beta_1, beta_2=settings.beta_2)
            for rate in settings.learning_rates
        ]
        for optimizer, model in zip(self._optimizers, (self.generator, self.critic), strict=True):
            optimizer.build(model.trainable_variables)
        self.critic_step = jax.jit(self._critic_step)
        self.generator_step = jax.jit(self._generator_step)
        self.iterate = jax.jit(self._iterate)

    def state(self) -> State:
        """The state that the networks hold."""
        parts = (self.generator, self.critic, self.generator, *self._optimizers)
        return State(*([variable.value for variable in part.variables] for part in parts))

    def _scores(self, weights: list, clips: jax.Array) -> jax.Array:
        scores, _ = self.critic.stateless_call(weights, [], clips, training=True)
        return scores.astype(jnp.float32)

    def _fakes(self, weights: list, latents: jax.Array) -> jax.Array:
        clips, _ = self.generator.stateless_call(weights, [], latents, training=True)
        return clips.astype(jnp.float32)

    def _penalty(
        self, weights: list, real: jax.Array, fake: jax.Array, positions: jax.Array
    ) -> jax.Array:
        """E (|grad D(x)| - 1)^2 at points between real (position 1) and generated clips (0)."""
        points = fake + positions[:, None, None, None] * (real - fake)
        gradients = jax.grad(lambda clips: self._scores(weights, clips).sum())(points)
        squared = jnp.square(gradients).sum(axis=(1, 2, 3))
        return jnp.square(jnp.sqrt(jnp.maximum(squared, 1e-20)) - 1).mean()

    def _critic_step(
        self, state: State, real: jax.Array, latents: jax.Array, positions: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        fake = self._fakes(state.generator, latents)

        def loss(weights: list) -> tuple[jax.Array, tuple]:
            distance = self._scores(weights, real).mean() - self._scores(weights, fake).mean()
            penalty = self._penalty(weights, real, fake, positions)
            return self._settings.gradient_penalty * penalty - distance, (distance, penalty)

        (value, (distance, penalty)), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.critic
        )
        weights, optimizer = self._optimizers[1].stateless_apply(
            state.critic_optimizer, gradients, state.critic
        )
        losses = {
            "wasserstein_estimate": distance,
            "gradient_penalty": penalty,
            "critic_loss": value,
        }
        return state._replace(critic=weights, critic_optimizer=optimizer), losses

    def _generator_step(
        self, state: State, latents: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        def loss(weights: list) -> jax.Array:
            return -self._scores(state.critic, self._fakes(weights, latents)).mean()

        value, gradients = jax.value_and_grad(loss)(state.generator)
        weights, optimizer = self._optimizers[0].stateless_apply(
            state.generator_optimizer, gradients, state.generator
        )
        state = state._replace(generator=weights, generator_optimizer=optimizer)
        return state, {"generator_loss": value}

    def _iterate(
        self, state: State, clips: jax.Array, iteration: int
    ) -> tuple[State, dict[str, jax.Array]]:
        """One iteration on (critic_steps, batch, frames, mels, 1) clips; random by its number."""
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
        latents = jax.random.fold_in(key, self._settings.critic_steps)
        state, more = self._generator_step(state, jax.random.normal(latents, shape))
        momentum = jnp.minimum(self._settings.ema_momentum, iteration / (iteration + 9))
        averaged = [
            momentum * old + (1 - momentum) * new
            for old, new in zip(state.averaged, state.generator, strict=True)
        ]
        return state._replace(averaged=averaged), {**losses, **more}


def train(settings: GanSettings, folder: Path, clips: Any) -> dict[str, float]:
    """Trains until ``settings.num_iterations``, from the saved state on, and exports.

    Args:
        settings: See `GanSettings`.
        folder: The run folder.
        clips: From a batch's number to critic_steps * batch_size clips.

    Returns:
        The last losses.

    Raises:
        InputError: If a loss is not finite, naming it; the saved state stays as it was.
        KeyboardInterrupt: After SIGINT or SIGTERM, once the state is saved.
    """
    trainer = JaxTrainer(settings)
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
    export(trainer, settings, state, folder)
    return {"iterations": iteration, **losses}


def export(trainer: JaxTrainer, settings: GanSettings, state: State, folder: Path) -> None:
    """Writes both networks as float32 ``.keras`` files."""
    keras.mixed_precision.set_dtype_policy("float32")
    for model, weights in (
        (build_generator(settings.preset), state.averaged),
        (build_critic(), state.critic),
    ):
        model.set_weights([np.asarray(array) for array in weights])
        save_model(model, folder / f"{model.name}.keras")


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
    trainer = JaxTrainer(
        GanSettings(preset="square", batch_size=len(arrays["real"]), precision="float32")
    )
    for model in (trainer.generator, trainer.critic):
        count = len(model.weights)
        model.set_weights([arrays[f"{model.name}/{number:03d}"] for number in range(count)])
    start = trainer.state()
    critic_state, losses = trainer.critic_step(
        start, arrays["real"], arrays["critic_latents"], arrays["positions"]
    )
    generator_state, more = trainer.generator_step(start, arrays["generator_latents"])
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
        run.mark_complete(train(settings, run.folder, clips))
        print(f"generator: {run.folder / 'generator.keras'}")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("--check="):
        check(Path(sys.argv[1].removeprefix("--check=")))
    else:
        define_flags(GanSettings)
        run_command(main)
