"""Excerpts as a notebook shows them: spectrograms to look at, and sounds to play."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from svdam.audio.inversion import log_mel_to_audio
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.drawing import SpectrogramAxes, spectrogram_grid
from svdam.core.validation import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, np.ndarray, np.ndarray]
"""Name, (N, frames, bands) or (N, frames, bands, 1) log-mel, (N,) responses."""


@dataclasses.dataclass(frozen=True)
class Sound:
    """A sound, for which a notebook shows a player.

    Attributes:
        samples: (samples,) float32, with a peak of 1.
        sample_rate: In hertz.
    """

    samples: np.ndarray
    sample_rate: int

    def _repr_html_(self) -> str:
        import soundfile

        wav = io.BytesIO()
        soundfile.write(wav, self.samples, self.sample_rate, format="WAV")
        data = base64.b64encode(wav.getvalue()).decode("ascii")
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'


class Shown:
    """Results that draw and play themselves: N excerpts, each with its response.

    Attributes:
        examples: (N, frames, bands, 1), or without the last axis, log-mel.
        responses: (N,).
    """

    examples: np.ndarray
    responses: np.ndarray

    def plot(
        self, which: Sequence[int] | None = None, *, front_end: FrontEnd = FRONT_END
    ) -> "Figure":
        """Draws spectrograms, each with its response.

        Args:
            which: Positions of the excerpts; None for the first four.
            front_end: Their front end.

        Returns:
            The figure, which a notebook shows.

        Raises:
            InputError: If there are no such excerpts, or they are of another front end.

        Example:
            >>> figure = found.plot([0, 1])
            >>> figure.savefig("examples.png")
        """
        return excerpt_figure([("", self._shown(), self.responses)], which, front_end)

    def audio(self, index: int = 0, *, front_end: FrontEnd = FRONT_END) -> Sound:
        """Resynthesises an excerpt; see `svdam.audio.inversion`.

        Args:
            index: Position of the excerpt.
            front_end: Its front end.

        Returns:
            The sound, for which a notebook shows a player.

        Raises:
            InputError: If there is no such excerpt, or it is of another front end.

        Example:
            >>> sound = found.audio(0)
            >>> len(sound.samples) / sound.sample_rate  # Seconds.
            1.675...
        """
        return excerpt_sound(self._shown(), index, front_end)

    def _shown(self) -> np.ndarray:
        return self.examples


def excerpt_figure(
    rows: Sequence[Row], which: Sequence[int] | None, front_end: FrontEnd = FRONT_END
) -> "Figure":
    """Spectrograms of the same excerpts of several sets, one row per set.

    Args:
        rows: The sets, which hold the same number of excerpts.
        which: Positions of the excerpts to show; None for the first four.
        front_end: Their front end.

    Returns:
        A figure that a notebook shows, with or without ``%matplotlib inline``.

    Raises:
        InputError: If there are no such excerpts, or the front end has another number of bands.
    """
    count = len(rows[0][1])
    positions = list(range(min(4, count)) if which is None else which)
    if not positions:
        raise InputError("which: names no excerpt; expected at least one")
    columns = [f"#{position}" for position in positions]
    shown = [
        (
            name,
            [_log_mel(log_mels, position, front_end) for position in positions],
            [responses[position] for position in positions],
        )
        for name, log_mels, responses in rows
    ]
    figure = spectrogram_grid(shown, SpectrogramAxes.of(front_end), columns)
    figure.set_dpi(100)

    def png() -> bytes:
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        return stream.getvalue()

    figure._repr_png_ = png
    return figure


def excerpt_sound(log_mels: np.ndarray, index: int, front_end: FrontEnd = FRONT_END) -> Sound:
    """One of (N, frames, bands) or (N, frames, bands, 1) log-mel excerpts as sound.

    Raises:
        InputError: If there is no such excerpt, or the front end has another number of bands.
    """
    samples = log_mel_to_audio(_log_mel(log_mels, index, front_end), front_end=front_end)
    return Sound(samples, front_end.sample_rate)


def _log_mel(log_mels: np.ndarray, index: int, front_end: FrontEnd) -> np.ndarray:
    """(frames, bands) of one excerpt."""
    if not -len(log_mels) <= index < len(log_mels):
        raise InputError(f"excerpt {index}: expected 0 to {len(log_mels) - 1}")
    if log_mels.shape[2] != front_end.num_mels:
        raise InputError(
            f"front_end: the excerpts have {log_mels.shape[2]} bands, this front end "
            f"{front_end.num_mels}; expected the one that they were made with, e.g. "
            'front_end=get_front_end("musicnn")'
        )
    return log_mels[index].reshape(log_mels.shape[1:3])
