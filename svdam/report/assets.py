"""The files next to a page: figures, small spectrogram images, sounds."""

import csv
import dataclasses
import functools
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from svdam.core.drawing import COLOR_MAP
from svdam.core.files import atomic_path, atomic_write
from svdam.core.progress import progress
from svdam.core.validation import InputError
from svdam.report.content import ExampleSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMMON_SUFFIX = "-common"
"""Suffix of the name of an image on the common scale."""


def save_figure(figure: "Figure", folder: Path, name: str) -> None:
    """Writes a figure as PNG (150 dots per inch) and PDF."""
    formats: dict[str, dict[str, Any]] = {".png": {"dpi": 150}, ".pdf": {}}
    for suffix, options in formats.items():
        with atomic_path(folder / f"{name}{suffix}", sync=False) as path:
            # No date in the file: the same content gives the same bytes.
            metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
            figure.savefig(path, facecolor="white", metadata=metadata, **options)


def save_spectrogram(path: Path, log_mel: np.ndarray, value_range: tuple[float, float]) -> None:
    """Writes a log-mel spectrogram as a bare image, one pixel per cell, low bands below.

    Args:
        path: The PNG file.
        log_mel: (frames, bands).
        value_range: Values of the darkest blue and red; values beyond them get the same colours.
    """
    from PIL import Image

    low, high = value_range
    scaled = (log_mel.T[::-1] - low) / max(high - low, 1e-12)
    image = Image.fromarray((np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8))
    image.putpalette(_palette())  # Turns the grey image into an indexed one.
    with atomic_path(path, sync=False) as temporary:
        image.save(temporary, optimize=True)


class Sound(NamedTuple):
    """A sound that was written.

    Attributes:
        name: File name, below ``sounds/``.
        level: Root mean square, with full scale 1.
        error_db: Difference between its log-mel spectrogram and the one that it was made from, in
            dB; None where that was not measured.
    """

    name: str
    level: float
    error_db: float | None = None


Sounds = Mapping[tuple[str, int], Sound]
"""The sounds of a page, by the key of the set and the position in it."""


@dataclasses.dataclass(frozen=True)
class Synthesis:
    """How the sounds of a page are made.

    Attributes:
        to_audio: Maps (batch, frames, bands) log-mel, with ``front_end=``, to (batch, samples)
            audio.
        error_db: Maps (frames, bands) log-mel and (samples,) audio, with ``front_end=``, to the
            round-trip error in dB; None to leave it out.
        description: The same for people, for the page.
    """

    to_audio: Callable[..., np.ndarray]
    error_db: Callable[..., float] | None = None
    description: str = ""


def save_sets(
    folder: Path,
    sets: Sequence[ExampleSet],
    common_range: Callable[[ExampleSet], tuple[float, float]],
    synthesis: Synthesis,
    shows_progress: bool = True,
) -> Sounds:
    """Writes the images and sounds of all sets of a page, below ``images/`` and ``sounds/``.

    Args:
        folder: Folder of the page.
        sets: Sets to write.
        common_range: Gives the log-mel values of the darkest blue and red of a set's common scale.
        synthesis: How sounds are made.
        shows_progress: Whether to show bars; a caller may have one of its own.

    Returns:
        The sounds that were written.
    """
    for one in progress(sets, description="spectrograms", unit="set", is_shown=shows_progress):
        common = common_range(one)
        for index, log_mel in enumerate(one.log_mels):
            path = folder / "images" / image_name(one, index)
            save_spectrogram(path, log_mel, (log_mel.min(), log_mel.max()))
            save_spectrogram(path.with_stem(path.stem + COMMON_SUFFIX), log_mel, common)
    sounds: dict[tuple[str, int], Sound] = {}
    total = sum(len(one.sounds_of) for one in sets)
    with progress(total=total, description="sounds", unit="sound", is_shown=shows_progress) as bar:
        for one in sets:
            found = save_sounds(folder / "sounds", one, synthesis, advance=bar.update)
            sounds |= {(one.key, index): sound for index, sound in found.items()}
    return sounds


def save_sounds(
    folder: Path,
    examples: ExampleSet,
    synthesis: Synthesis,
    batch_size: int = 16,
    advance: Callable[[int], object] = lambda count: None,
) -> dict[int, Sound]:
    """Writes the sounds of a set.

    Args:
        folder: Folder to write to.
        examples: The set; ``sounds_of`` says which excerpts get a sound.
        synthesis: How sounds are made.
        batch_size: Number of sounds to make at a time.
        advance: Called with the number of sounds after each batch.

    Returns:
        The sounds, by their position in the set.
    """
    found, front_end = {}, examples.front_end
    positions = list(examples.sounds_of)
    for start in range(0, len(positions), batch_size):
        batch = positions[start : start + batch_size]
        sounds = synthesis.to_audio(examples.log_mels[batch], front_end=front_end)
        for index, samples in zip(batch, sounds, strict=True):
            name = f"{examples.key}-{index:04d}.wav"
            level = save_wav(folder / name, samples, front_end.sample_rate)
            log_mel = examples.log_mels[index]
            error = synthesis.error_db and synthesis.error_db(log_mel, samples, front_end=front_end)
            found[index] = Sound(name, level, error)
        advance(len(batch))
    return found


def save_wav(path: Path, samples: np.ndarray, sample_rate: int) -> float:
    """Writes mono samples as a 16-bit WAV, scaled to full peak; silence stays silent.

    Args:
        path: The file.
        samples: (samples,) of any scale.
        sample_rate: Sample rate in hertz.

    Returns:
        Root mean square of the samples written, with full scale 1.

    Raises:
        InputError: If a sample is not finite.
    """
    import soundfile

    samples = np.asarray(samples, dtype=float)
    peak = np.abs(samples).max(initial=0)
    if not np.isfinite(peak):
        raise InputError(f"{path}: the sound has values that are not finite")
    scaled = samples / peak if peak > 0 else samples
    quantized = np.round(scaled * 32767).astype(np.int16)
    content = io.BytesIO()  # Of a full disk, libsndfile says nothing.
    soundfile.write(content, quantized, sample_rate, format="WAV")
    with atomic_path(path, sync=False) as temporary:
        Path(temporary).write_bytes(content.getbuffer())
    return float(np.sqrt(np.mean(scaled**2))) if len(scaled) else 0.0


def image_name(examples: ExampleSet, index: int) -> str:
    """File name of an excerpt's image."""
    return f"{examples.key}/{index:04d}.png"


def save_measures(path: Path, sets: Iterable[ExampleSet]) -> None:
    """Writes the measures of Section 4.2 as a CSV table with one row per measured example.

    What the front end of a set does not allow to measure stays empty.
    """
    measured = [(one, one.measures) for one in sets if one.measures is not None]
    names = list(dict.fromkeys(name for _, measures in measured for name in measures))
    with atomic_write(path) as stream:
        writer = csv.writer(stream)
        writer.writerow(["set", "example", "response", *names])
        for one, measures in measured:
            empty = np.full(len(one.labels), "")
            values = [measures.get(name, empty).tolist() for name in names]
            columns = one.labels, one.responses.tolist(), *values
            writer.writerows([one.key, *row] for row in zip(*columns, strict=True))


@functools.cache
def _palette() -> bytes:
    import matplotlib

    colors = matplotlib.colormaps[COLOR_MAP](np.arange(256), bytes=True)
    return colors[:, :3].tobytes()
