"""TensorBoard summaries in the form that every stage uses, without TensorFlow."""

import contextlib
import io
import itertools
import json
import os
import re
import shlex
import shutil
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from svdam.core.images import log_mel_image
from svdam.core.record_framing import write_record

_numbers = itertools.count()  # Of this process's event files.


def tensorboard_command(folder: str | os.PathLike) -> str:
    """The command line that shows a folder's summaries, to this machine alone."""
    return f"tensorboard --logdir {shlex.quote(os.fspath(folder))} --host localhost"


def as_markdown(text: str) -> str:
    """Markdown that shows a text as it is.

    Names come with the data, and TensorBoard would fetch a picture that one of them asks for.
    """
    return re.sub(r"[#&*<>[\]\\_`|]", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


class Summaries:
    """Writes TensorBoard events into a folder; use it as a context manager.

    TensorFlow's own writer would have every command load TensorFlow, seconds and hundreds of
    megabytes, and keeps some kilobytes of memory for each call. What is written is visible at once.
    """

    def __init__(self, folder: str | os.PathLike, replace: bool = False):
        """Starts an events file in ``folder``, which is made if it is missing.

        Args:
            folder: The folder.
            replace: Whether to remove what an earlier run left there, which would be shown twice.
        """
        from tensorboard.compat.proto.event_pb2 import Event

        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        made = f"{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._stream = open(os.path.join(folder, f"events.out.tfevents.{made}"), "wb")  # noqa: SIM115
        self._append(Event(file_version="brain.Event:2"))

    def __enter__(self) -> "Summaries":
        return self

    def __exit__(self, *exception) -> None:
        # Nothing is left to be written but what has failed before, with an error that says more.
        with contextlib.suppress(OSError):
            self._stream.close()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One point for each named curve."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._write(step, *(scalar_pb(name, float(value)) for name, value in values.items()))

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """The distribution of ``values``."""
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        self._write(step, histogram_pb(name, np.asarray(values)))

    def images(self, name: str, images: np.ndarray, step: int, labels: str = "") -> None:
        """(batch, height, width, 3) uint8 images, all of them, with ``labels`` in Markdown."""
        from tensorboard.plugins.image.metadata import create_summary_metadata

        size = [str(length).encode() for length in images.shape[2:0:-1]]
        content = np.array(size + [_png(image) for image in images], object)
        self._write(step, _summary(name, content, create_summary_metadata(None, labels)))

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

    def audio(self, name: str, samples: np.ndarray, step: int, sample_rate: int) -> None:
        """(batch, samples) sounds, between -1 and 1, and their rate in Hz."""
        from tensorboard.plugins.audio.metadata import Encoding, create_summary_metadata

        # Without names.
        content = np.array([[_wav(sound, sample_rate), b""] for sound in samples], object)
        metadata = create_summary_metadata(None, "", Encoding.Value("WAV"))
        self._write(step, _summary(name, content, metadata))

    def text(self, name: str, markdown: str, step: int = 0) -> None:
        """A text, with Markdown."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(step, text_pb(name, markdown))

    def hparams(self, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """One row of the HParams dashboard: settings, and the results they led to."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._write(0, hparams_pb(dict(values)))
        self.scalars(metrics, 0)

    def hparams_columns(self, settings: Mapping[str, str], metrics: Mapping[str, str]) -> None:
        """Columns of the HParams dashboard: what it shows, in which order, under which name.

        Written once, beside the rows; without it the dashboard shows every scalar it finds.
        """
        from tensorboard.plugins.hparams.summary_v2 import HParam, Metric, hparams_config_pb

        columns = hparams_config_pb(
            [HParam(key, display_name=name) for key, name in settings.items()],
            [Metric(key, display_name=name) for key, name in metrics.items()],
        )
        self._write(0, columns)

    def configuration(self, config: Mapping[str, Any]) -> None:
        """The contents of a run's ``config.json``."""
        self.text("configuration", "```\n" + json.dumps(config, indent=2) + "\n```")

    def _write(self, step: int, *summaries: Any) -> None:
        """Writes summaries, if there are any, as one event."""
        from tensorboard.compat.proto.event_pb2 import Event

        if not summaries:
            return
        event = Event(step=step)
        for summary in summaries:
            event.summary.MergeFrom(summary)
        self._append(event)

    def _append(self, event: Any) -> None:
        event.wall_time = time.time()
        content = event.SerializeToString()
        try:
            write_record(self._stream, [content], len(content))
            self._stream.flush()
        except OSError as error:  # As of a full disk.
            error.filename = self._stream.name
            raise


def _summary(name: str, content: np.ndarray, metadata: Any) -> Any:
    """A summary of encoded pictures or sounds, which are ``content``, an array of bytes."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.util.tensor_util import make_tensor_proto

    tensor = make_tensor_proto(content)
    return Summary(value=[Summary.Value(tag=name, metadata=metadata, tensor=tensor)])


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def _wav(samples: np.ndarray, sample_rate: int) -> bytes:
    import soundfile

    stream = io.BytesIO()
    sound = np.clip(samples, -1, 1)
    soundfile.write(stream, sound, sample_rate, "PCM_16", format="WAV")
    return stream.getvalue()


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
