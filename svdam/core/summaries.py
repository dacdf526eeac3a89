"""TensorBoard summaries in the form that every stage uses. Making one loads TensorFlow."""

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from svdam.core.config import FRONT_END
from svdam.core.images import log_mel_image


def tensorboard_command(folder: str | os.PathLike) -> str:
    """The command line that shows a folder's summaries, to this machine alone."""
    return f"tensorboard --logdir {shlex.quote(os.fspath(folder))} --host localhost"


def as_markdown(text: str) -> str:
    """Markdown that shows a text as it is.

    Names come with the data, and TensorBoard would fetch a picture that one of them asks for.
    """
    return re.sub(r"[#&*<>[\]\\_`|]", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


class Summaries:
    """Writes TensorBoard events into a folder; use it as a context manager."""

    def __init__(self, folder: str | os.PathLike):
        """Starts an events file in ``folder``, which is made if it is missing."""
        import tensorflow as tf

        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(folder))

    def __enter__(self) -> "Summaries":
        return self

    def __exit__(self, *exception) -> None:
        self._writer.close()

    def flush(self) -> None:
        """Makes what was written so far visible."""
        self._writer.flush()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One point for each named curve."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._write([scalar_pb(name, float(value)) for name, value in values.items()], step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """The distribution of ``values``."""
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        self._write([histogram_pb(name, np.asarray(values))], step)

    def _write(self, parts: Sequence[Any], step: int) -> None:
        """What is written often: TensorFlow's own functions keep some kilobytes for each call."""
        for part in parts[1:]:
            parts[0].MergeFrom(part)
        if parts:
            with self._writer.as_default(step):
                self._tf.summary.experimental.write_raw_pb(parts[0].SerializeToString())

    def images(self, name: str, images: np.ndarray, step: int, labels: str = "") -> None:
        """(batch, height, width, 3) uint8 images, all of them, with ``labels`` in Markdown."""
        with self._writer.as_default(step):
            self._tf.summary.image(name, images, max_outputs=len(images), description=labels)

    def log_mels(
        self, name: str, log_mels: np.ndarray, step: int, columns: int | None = None
    ) -> None:
        """(batch, frames, mels[, 1]) spectrograms, each normalised by itself.

        With ``columns`` they become one sheet, row by row, instead of single images.
        """
        pictures = np.repeat(np.repeat(log_mel_image(log_mels), 2, axis=1), 2, axis=2)
        if columns:
            pictures = contact_sheet(pictures, columns)[np.newaxis]
        self.images(name, pictures, step)

    def audio(self, name: str, samples: np.ndarray, step: int, labels: str = "") -> None:
        """(batch, samples) sounds at the front end's rate, between -1 and 1."""
        sounds = np.clip(samples, -1, 1)[..., np.newaxis].astype(np.float32)
        with self._writer.as_default(step):
            self._tf.summary.audio(
                name, sounds, FRONT_END.sample_rate, max_outputs=len(sounds), description=labels
            )

    def text(self, name: str, markdown: str, step: int = 0) -> None:
        """A text, with Markdown."""
        with self._writer.as_default(step):
            self._tf.summary.text(name, markdown)

    def hparams(self, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """One row of the HParams dashboard: settings, and the results they led to."""
        from tensorboard.plugins.hparams import api

        with self._writer.as_default(0):
            api.hparams(dict(values))
        self.scalars(metrics, 0)

    def hparams_columns(self, settings: Mapping[str, str], metrics: Mapping[str, str]) -> None:
        """Columns of the HParams dashboard: what it shows, in which order, under which name.

        Written once, beside the rows; without it the dashboard shows every scalar it finds.
        """
        from tensorboard.plugins.hparams import api

        with self._writer.as_default(0):
            api.hparams_config(
                [api.HParam(key, display_name=name) for key, name in settings.items()],
                [api.Metric(key, display_name=name) for key, name in metrics.items()],
            )

    def configuration(self, config: Mapping[str, Any]) -> None:
        """The contents of a run's ``config.json``."""
        self.text("configuration", "```\n" + json.dumps(config, indent=2) + "\n```")


def contact_sheet(pictures: np.ndarray, columns: int, margin: int = 4) -> np.ndarray:
    """Joins (batch, height, width, 3) pictures into one, row by row, on white."""
    batch, height, width, channels = pictures.shape
    rows = -(-batch // columns)
    sheet = np.full(
        (rows * (height + margin) - margin, columns * (width + margin) - margin, channels),
        255,
        np.uint8,
    )
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = row * (height + margin), column * (width + margin)
        sheet[top : top + height, left : left + width] = picture
    return sheet
