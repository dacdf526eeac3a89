"""The files beside a report's page: figures, small spectrogram images, sounds."""

import functools
import wave
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from svdam.core.files import atomic_path
from svdam.core.validation import InputError
from svdam.report.content import ExampleSet
from svdam.report.figures import COLOR_MAP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMMON_SUFFIX = "-common"
"""Ends the name of an image that is drawn on the common scale."""


def save_figure(figure: "Figure", folder: Path, name: str) -> None:
    """Writes a figure as PNG (150 dots an inch) and PDF."""
    for suffix, options in ((".png", {"dpi": 150}), (".pdf", {})):
        with atomic_path(folder / f"{name}{suffix}") as path:
            # No date in the file: the same content gives the same bytes.
            metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
            figure.savefig(path, facecolor="white", metadata=metadata, **options)


def save_spectrogram(path: Path, log_mel: np.ndarray, value_range: tuple[float, float]) -> None:
    """Writes a log-mel spectrogram as a bare image, one pixel a cell, low frequencies below.

    Args:
        path: The PNG file.
        log_mel: (frames, bands).
        value_range: Values of the darkest blue and red; what lies beyond takes the same colours.
    """
    from PIL import Image

    low, high = value_range
    scaled = (log_mel.T[::-1] - low) / max(high - low, 1e-12)
    image = Image.fromarray(np.uint8(np.clip(scaled, 0, 1) * 255 + 0.5))
    image.putpalette(_palette())  # Turns the grey image into an indexed one.
    with atomic_path(path) as temporary:
        image.save(temporary, optimize=True)


def save_spectrograms(
    folder: Path, examples: ExampleSet, common_range: tuple[float, float]
) -> None:
    """Writes every excerpt of a set twice: on its own scale, and on the common one."""
    for index, log_mel in enumerate(examples.log_mels):
        own = float(log_mel.min()), float(log_mel.max())
        path = folder / image_name(examples, index)
        save_spectrogram(path, log_mel, own)
        common = path.with_name(f"{path.stem}{COMMON_SUFFIX}.png")
        save_spectrogram(common, log_mel, common_range)


def save_sounds(
    folder: Path,
    examples: ExampleSet,
    synthesise: Callable[[np.ndarray], np.ndarray],
    sample_rate: int,
    batch_size: int = 16,
    advance: Callable[[int], object] = lambda count: None,
) -> dict[int, float]:
    """Writes the sounds of a set.

    Args:
        folder: Where to.
        examples: The set; ``sounds_of`` says which excerpts get a sound.
        synthesise: From (batch, frames, bands) log-mel to (batch, samples).
        sample_rate: In hertz.
        batch_size: How many to synthesise at a time.
        advance: Called with the number of sounds after each batch.

    Returns:
        The level of each sound (root mean square, full scale 1), by position in the set.
    """
    levels = {}
    positions = list(examples.sounds_of)
    for start in range(0, len(positions), batch_size):
        batch = positions[start : start + batch_size]
        for index, samples in zip(batch, synthesise(examples.log_mels[batch]), strict=True):
            levels[index] = save_wav(folder / sound_name(examples, index), samples, sample_rate)
        advance(len(batch))
    return levels


def save_wav(path: Path, samples: np.ndarray, sample_rate: int) -> float:
    """Writes mono samples as a 16-bit WAV, scaled to full peak; silence stays silent.

    Args:
        path: The file.
        samples: (samples,) of any scale.
        sample_rate: In hertz.

    Returns:
        Root mean square of what was written, full scale 1.

    Raises:
        InputError: If a sample is not finite.
    """
    samples = np.asarray(samples, dtype=float)
    peak = np.abs(samples).max(initial=0)
    if not np.isfinite(peak):
        raise InputError(f"{path}: the sound holds values that are not finite")
    scaled = samples / peak if peak > 0 else samples
    with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sample_rate)
        stream.writeframes(np.round(scaled * 32767).astype("<i2").tobytes())
    return float(np.sqrt(np.mean(scaled**2))) if len(scaled) else 0.0


def image_name(examples: ExampleSet, index: int) -> str:
    """File name of an excerpt's image."""
    return f"{examples.key}/{index:04d}.png"


def sound_name(examples: ExampleSet, index: int) -> str:
    """File name of an excerpt's sound."""
    return f"{examples.key}-{index:04d}.wav"


def count_sounds(sets: Iterable[ExampleSet]) -> int:
    """How many sounds a report will write."""
    return sum(len(one.sounds_of) for one in sets)


@functools.cache
def _palette() -> bytes:
    import matplotlib

    colors = matplotlib.colormaps[COLOR_MAP](np.arange(256), bytes=True)
    return colors[:, :3].tobytes()
