"""Excerpts as a notebook shows them: spectrograms to look at, and sounds to play."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from svdam.audio.inversion import log_mel_to_audio
from svdam.core.config import FRONT_END
from svdam.core.drawing import SpectrogramAxes, spectrogram_grid
from svdam.core.front_end import FrontEnd
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
        front_end: Front end of the excerpts; None if it is not known.
    """

    examples: np.ndarray
    responses: np.ndarray
    front_end: FrontEnd | None = FRONT_END

    def plot(
        self, which: Sequence[int] | None = None, *, front_end: FrontEnd | None = None
    ) -> "Figure":
        """Draws spectrograms, each with its response.

        Args:
            which: Positions of the excerpts; None for the first four.
            front_end: Their front end; ``self.front_end`` by default.

        Returns:
            The figure, which a notebook shows.

        Raises:
            InputError: If there are no such excerpts, or they are of another front end.

        Example:
            >>> figure = found.plot([0, 1])
            >>> figure.savefig("examples.png")
        """
        return excerpt_figure(
            [("", self._shown(), self.responses)], which, front_end or self.front_end
        )

    def audio(self, index: int = 0, *, front_end: FrontEnd | None = None) -> Sound:
        """Resynthesises an excerpt; see `svdam.audio.inversion`.

        Args:
            index: Position of the excerpt.
            front_end: Its front end; ``self.front_end`` by default.

        Returns:
            The sound, for which a notebook shows a player.

        Raises:
            InputError: If there is no such excerpt, or it is of another front end.

        Example:
            >>> sound = found.audio(0)
            >>> len(sound.samples) / sound.sample_rate  # Seconds.
            1.675...
        """
        return excerpt_sound(self._shown(), index, front_end or self.front_end)

    def _shown(self) -> np.ndarray:
        return self.examples


def excerpt_figure(
    rows: Sequence[Row], which: Sequence[int] | None, front_end: FrontEnd | None
) -> "Figure":
    """Spectrograms of the same excerpts of several sets, one row per set.

    Args:
        rows: The sets, which hold the same number of excerpts.
        which: Positions of the excerpts to show; None for the first four.
        front_end: Their front end; None if it is not known.

    Returns:
        A figure that a notebook shows, with or without ``%matplotlib inline``.

    Raises:
        InputError: If there are no such excerpts, or the front end has another number of bands.
    """
    count = len(rows[0][1])
    positions = list(range(min(4, count)) if which is None else which)
    if not positions:
        raise InputError("which: names no excerpt; expected at least one")
    front_end = _fitting(front_end, rows[0][1])
    columns = [f"#{position}" for position in positions]
    shown = [
        (
            name,
            [_log_mel(log_mels, position) for position in positions],
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


def excerpt_sound(
    log_mels: np.ndarray, index: int, front_end: FrontEnd | None = FRONT_END
) -> Sound:
    """One of (N, frames, bands) or (N, frames, bands, 1) log-mel excerpts as sound.

    Raises:
        InputError: If there is no such excerpt, or the front end has another number of bands.
    """
    front_end = _fitting(front_end, log_mels)
    samples = log_mel_to_audio(_log_mel(log_mels, index), front_end=front_end)
    return Sound(samples, front_end.sample_rate)


def _fitting(front_end: FrontEnd | None, log_mels: np.ndarray) -> FrontEnd:
    """The front end, which must be known and have as many bands."""
    bands = log_mels.shape[2]
    if front_end is None or bands != front_end.num_mels:
        found = "is not known" if front_end is None else f"has {front_end.num_mels} bands"
        raise InputError(
            f"front_end: the excerpts have {bands} bands, their front end {found}; expected the "
            'one that they were made with, e.g. front_end=get_front_end("musicnn")'
        )
    return front_end


def _log_mel(log_mels: np.ndarray, index: int) -> np.ndarray:
    """(frames, bands) of one excerpt."""
    if not -len(log_mels) <= index < len(log_mels):
        raise InputError(f"excerpt {index}: expected 0 to {len(log_mels) - 1}")
    return log_mels[index].reshape(log_mels.shape[1:3])
