"""Training the GAN of Section 3.3: data, checkpoints, what is watched, and what is written."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from svdam.audio.inversion import log_mels_to_audio
from svdam.core.config import LATENT_SIZE
from svdam.core.progress import progress
from svdam.core.runs import Run
from svdam.core.summaries import Summaries
from svdam.core.validation import InputError
from svdam.data.excerpts import clip_batches
from svdam.data.records import Records
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.models.saving import save_model
from svdam.training.checkpoints import Checkpoints
from svdam.training.interruption import Interruption
from svdam.training.score import RealismScore
from svdam.training.settings import GanSettings
from svdam.training.wgan_gp import GanTrainer

_SHEET = 16  # Samples of a sheet.
_SOUNDS = 4  # Of them that can be heard.
_SCORED = 512  # Clips that the score compares: several for each of the layer's 64 units.


def train_gan(
    settings: GanSettings, records: Records, run: Run, classifier: keras.Model | None = None
) -> dict[str, Any]:
    """Trains generator and critic until ``settings.num_iterations``, from the last checkpoint on.

    Writes ``generator.keras`` and ``critic.keras`` into the run folder, and TensorBoard summaries.

    Args:
        settings: See `GanSettings`.
        records: Real songs; clips of the training split are used.
        run: The open run folder.
        classifier: SVDNet for the score; None for no score.

    Returns:
        The last losses and score.

    Raises:
        InputError: If a loss is not finite, naming it; the last checkpoint stays as it was.
        KeyboardInterrupt: After SIGINT or SIGTERM, once the state is saved.
    """
    trainer = _build_trainer(settings)
    checkpoints = Checkpoints(
        run.folder / "checkpoints",
        settings.keep_checkpoints,
        generator=trainer.generator,
        critic=trainer.critic,
        generator_optimizer=trainer.generator_optimizer,
        critic_optimizer=trainer.critic_optimizer,
    )
    iteration = checkpoints.restore()
    if settings.export:
        if not iteration:
            raise InputError(f"--export: {run.folder} holds no checkpoint yet; train first")
        export(trainer, settings, run.folder)
        return {"iterations": iteration}
    batches = iter(_batches(settings, records, iteration))
    metrics: dict[str, float] = {}
    with Summaries(run.folder) as summaries, Interruption() as interruption:
        watcher = _Watcher(settings, records, trainer, summaries, classifier)
        if iteration == 0:
            summaries.configuration(run.config)
            metrics.update(watcher.samples(0))
        with progress(
            total=settings.num_iterations, initial=iteration, description="GAN", unit="it"
        ) as bar:
            while iteration < settings.num_iterations:
                losses = trainer.iterate(next(batches), tf.constant(iteration, tf.int64))
                metrics.update(_finite(losses, iteration))
                iteration += 1
                bar.update()
                last = iteration == settings.num_iterations or interruption.signal is not None
                if iteration % settings.scalars_every == 0 or last:
                    summaries.scalars(_grouped(metrics), iteration)
                if iteration % settings.samples_every == 0 or iteration == settings.num_iterations:
                    metrics.update(watcher.samples(iteration))
                if iteration % settings.checkpoint_every == 0 or last:
                    checkpoints.save(iteration)
                    summaries.flush()
                interruption.raise_if_requested()
    export(trainer, settings, run.folder)
    return {"iterations": iteration, **metrics}


def export(trainer: GanTrainer, settings: GanSettings, folder: Path) -> None:
    """Writes both networks as float32 ``.keras`` files, whatever precision they were trained in."""
    generator, critic = _build_networks(settings, "float32")
    for model, trained in ((generator, trainer.generator), (critic, trainer.critic)):
        model.set_weights(trained.get_weights())
        save_model(model, folder / f"{model.name}.keras")


def _build_networks(settings: GanSettings, precision: str) -> tuple[keras.Model, keras.Model]:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        return build_generator(settings.preset), build_critic()
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def _build_trainer(settings: GanSettings) -> GanTrainer:
    keras.utils.set_random_seed(settings.seed)
    return GanTrainer(settings, *_build_networks(settings, settings.precision))


def _batches(settings: GanSettings, records: Records, start: int) -> tf.data.Dataset:
    """(critic_steps, batch, 115, 80, 1) clips for each iteration from ``start`` on."""
    shape = (settings.critic_steps, settings.batch_size)
    clips = clip_batches(
        records,
        batch_size=shape[0] * shape[1],
        seed=settings.seed,
        start=start,
        clip_spacing=settings.clip_spacing,
        clips_per_track=settings.clips_per_track,
    )
    return clips.map(lambda batch: tf.reshape(batch, shape + tuple(batch.shape[1:])))


def _finite(losses: dict[str, tf.Tensor], iteration: int) -> dict[str, float]:
    values = {name: float(value.numpy()) for name, value in losses.items()}
    for name, value in values.items():
        if not np.isfinite(value):
            raise InputError(
                f"iteration {iteration}: {name} is {value}; the run stops and its last checkpoint "
                "stays. Try a smaller --learning_rate, or look at the data"
            )
    return values


def _grouped(metrics: dict[str, float]) -> dict[str, float]:
    return {f"gan/{name}": value for name, value in metrics.items()}


class _Watcher:
    """Samples from fixed latents, their sounds and their score, beside real clips."""

    def __init__(
        self,
        settings: GanSettings,
        records: Records,
        trainer: GanTrainer,
        summaries: Summaries,
        classifier: keras.Model | None,
    ):
        self._summaries = summaries
        self._generator = trainer.generator
        self._latents = np.random.RandomState(settings.seed).normal(size=(_SCORED, LATENT_SIZE))
        real = next(iter(clip_batches(records, batch_size=_SCORED, seed=settings.seed)))
        self._real = real.numpy()
        self._score = RealismScore(classifier, self._real) if classifier is not None else None

    def samples(self, iteration: int) -> dict[str, float]:
        """Writes sheets and sounds; returns the score, if there is a classifier."""
        fake = self._generate()
        self._summaries.log_mels("samples/generated", fake[:_SHEET], iteration, columns=4)
        if iteration == 0:
            self._summaries.log_mels("samples/real", self._real[:_SHEET], iteration, columns=4)
            self._sounds("samples/real", self._real, iteration)
        self._sounds("samples/generated", fake, iteration)
        if self._score is None:
            return {}
        return {"frechet_distance": self._score(fake), "frechet_floor": self._score.floor}

    def _generate(self) -> np.ndarray:
        batches = np.split(self._latents.astype(np.float32), _SCORED // _SHEET)
        return np.concatenate([np.asarray(self._generator(z), np.float32) for z in batches])

    def _sounds(self, name: str, log_mels: np.ndarray, iteration: int) -> None:
        samples = log_mels_to_audio(log_mels[:_SOUNDS, ..., 0])
        self._summaries.audio(name, samples, iteration)
