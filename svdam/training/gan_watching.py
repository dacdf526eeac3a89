"""What a training of the GAN shows while it runs: curves, sheets, sounds and a score."""

import keras
import numpy as np
import tensorflow as tf

from svdam.audio.inversion import log_mels_to_audio
from svdam.core.config import LATENT_SIZE
from svdam.core.summaries import Summaries
from svdam.data.excerpts import clip_batches
from svdam.data.records import Records
from svdam.training.score import RealismScore
from svdam.training.settings import GanSettings

_SHEET = (4, 4)  # Rows and columns of samples; as many real clips are shown next to them.
_SOUNDS = 4  # Samples that can be heard.
_SCORED = 512  # Clips that the score compares: several for each of the layer's 64 units.
_BATCH = 16


class GanWatcher:
    """Curves of the losses; samples from fixed latents beside real clips, their sounds, a score."""

    def __init__(
        self,
        settings: GanSettings,
        records: Records,
        generator: keras.Model,
        summaries: Summaries,
        classifier: keras.Model | None = None,
    ):
        """Fixes the latents and the real clips.

        Args:
            settings: See `GanSettings`.
            records: Real songs.
            generator: The network to sample from.
            summaries: Where everything is written.
            classifier: SVDNet for the score; None for no score.
        """
        self._settings = settings
        self._front_end = records.front_end
        self._summaries = summaries
        self._generate = tf.function(lambda latents: generator(latents, training=False))
        count = _SCORED if classifier is not None else _SHEET[0] * _SHEET[1]
        latents = np.random.RandomState(settings.seed).normal(size=(_SCORED, LATENT_SIZE))
        self._latents = latents[:count].astype(np.float32)
        self._real = next(iter(clip_batches(records, batch_size=count, seed=settings.seed))).numpy()
        self._score = RealismScore(classifier, self._real) if classifier is not None else None

    def look(
        self, iteration: int, losses: dict[str, float], wants_curves: bool, wants_samples: bool
    ) -> dict[str, float]:
        """Writes what is due after an iteration, or wanted anyway; returns the score, if new."""
        score = {}
        if wants_samples or iteration % self._settings.samples_every == 0:
            score = self.samples(iteration)
        if wants_curves or iteration % self._settings.scalars_every == 0:
            self._curves(losses, iteration)
        return score

    def samples(self, iteration: int) -> dict[str, float]:
        """Writes a sheet, sounds and the score; returns the score, if there is a classifier."""
        batches = np.split(self._latents, len(self._latents) // _BATCH)
        fake = np.concatenate([self._generate(z).numpy().astype(np.float32) for z in batches])
        sheet = np.concatenate([_tiled(fake), _tiled(self._real)], axis=1)
        self._summaries.log_mels(
            "samples/generated (left), real (right)",
            sheet.reshape(-1, *fake.shape[1:]),
            iteration,
            columns=2 * _SHEET[1],
        )
        self._sounds("samples/generated", fake, iteration)
        if iteration == 0:
            self._sounds("samples/real", self._real, iteration)
        if self._score is None:
            return {}
        score = {"frechet_distance": self._score(fake), "frechet_floor": self._score.floor}
        self._curves(score, iteration)
        return score

    def _curves(self, values: dict[str, float], iteration: int) -> None:
        self._summaries.scalars({f"gan/{name}": value for name, value in values.items()}, iteration)

    def _sounds(self, name: str, log_mels: np.ndarray, iteration: int) -> None:
        samples = log_mels_to_audio(log_mels[:_SOUNDS, ..., 0], front_end=self._front_end)
        self._summaries.audio(name, samples, iteration, self._front_end.sample_rate)


def _tiled(clips: np.ndarray) -> np.ndarray:
    """The first clips as (rows, columns, frames, mels, 1)."""
    return clips[: _SHEET[0] * _SHEET[1]].reshape(*_SHEET, *clips.shape[1:])
