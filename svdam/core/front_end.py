"""What a front end is, as data: from the sample rate to the logarithm.

A front end turns sound into a log-mel spectrogram: windowed frames, magnitudes or powers of their
FFT, triangular mel filters, a logarithm. Every number in that chain is a field of `FrontEnd`, so
that records, models and results can carry it. `svdam.audio.front_ends` has the named ones and reads
others from JSON; `svdam.audio.log_mel` computes them.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from svdam.core.validation import InputError, is_number, quoted_list

WINDOWS = ("symmetric_hann", "periodic_hann")
FILTERBANKS = ("ismir2015", "slaney", "htk")
"""Mel filterbanks: the paper's own; librosa's default; TensorFlow's."""
COMPRESSIONS = ("log", "log10", "decibels")

_LARGEST_SIZE = 1 << 20
_SLANEY_BREAK_HZ, _SLANEY_HZ_PER_MEL, _SLANEY_LOG_STEP = 1000.0, 200 / 3, math.log(6.4) / 27


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """How sound becomes a log-mel spectrogram. The defaults are the paper's (Section 3.1).

    Attributes:
        sample_rate: In Hz, mono.
        window_length: STFT window, in samples.
        hop_length: STFT hop, in samples.
        num_mels: Number of triangular mel filters.
        min_hz: Lower edge of the lowest filter.
        max_hz: Upper edge of the highest filter.
        magnitude_floor: What goes into the logarithm is at least this.
        excerpt_frames: Frames of one excerpt, the classifier's input.
        window: One of `WINDOWS`.
        fft_length: Samples of the FFT, windows being padded with zeros; 0 for ``window_length``.
        centered: Whether frame t is centred on sample t * hop, with zeros beyond both ends of the
            sound. If not, it starts there, and there are only whole frames.
        power: Exponent of the magnitudes that the filters sum: 1 (magnitude) or 2 (power).
        filterbank: One of `FILTERBANKS`.
        compression: The logarithm: ``log`` (natural), ``log10`` or ``decibels`` (10 log10 of power,
            20 log10 of magnitude), of max(log_scale * mel + log_offset, magnitude_floor).
        log_scale: See ``compression``.
        log_offset: See ``compression``.

    Raises:
        InputError: If a value makes no sense, naming the field.
    """

    sample_rate: int = 22050
    window_length: int = 1024
    hop_length: int = 315
    num_mels: int = 80
    min_hz: float = 27.5
    max_hz: float = 8000.0
    magnitude_floor: float = 1e-7
    excerpt_frames: int = 115
    window: str = "symmetric_hann"
    fft_length: int = 0
    centered: bool = False
    power: int = 1
    filterbank: str = "ismir2015"
    compression: str = "log"
    log_scale: float = 1.0
    log_offset: float = 0.0

    def __post_init__(self):
        if self.fft_length == 0 and type(self.fft_length) is int:
            object.__setattr__(self, "fft_length", self.window_length)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                _require(type(value) is int and 0 < value <= _LARGEST_SIZE, field.name, value,
                         f"a whole number from 1 to {_LARGEST_SIZE}")  # fmt: skip
            elif field.type is float:
                _require(is_number(value) and value >= 0, field.name, value, "0 or a larger number")
                object.__setattr__(self, field.name, float(value))
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            _require(value in known and type(value) is type(known[0]), name, value,
                     f"one of {quoted_list(known)}")  # fmt: skip
        _require(self.fft_length >= self.window_length, "fft_length", self.fft_length,
                 f"at least the window_length, {self.window_length}")  # fmt: skip
        _require(self.max_hz <= self.sample_rate / 2, "max_hz", self.max_hz,
                 f"at most half the sample_rate, {self.sample_rate / 2:g}")  # fmt: skip
        _require(self.min_hz < self.max_hz, "min_hz", self.min_hz,
                 f"less than max_hz, {self.max_hz:g}")  # fmt: skip
        _require(self.log_scale > 0, "log_scale", self.log_scale, "more than 0")
        _require(max(self.log_offset, self.magnitude_floor) > 0, "magnitude_floor",
                 self.magnitude_floor, "more than 0, as log_offset is 0")  # fmt: skip

    @property
    def frames_per_second(self) -> float:
        """Log-mel frames per second (70 with the paper's settings)."""
        return self.sample_rate / self.hop_length

    @property
    def num_bins(self) -> int:
        """Frequencies of the STFT, from 0 to half the sample rate."""
        return self.fft_length // 2 + 1

    @property
    def log_factor(self) -> float:
        """Ratio of the compression to the natural logarithm."""
        if self.compression == "decibels":
            return (20 if self.power == 1 else 10) / math.log(10)
        return 1 / math.log(10) if self.compression == "log10" else 1.0

    @property
    def silence(self) -> float:
        """Log-mel value of digital silence, the smallest that there is."""
        return self.log_factor * math.log(max(self.log_offset, self.magnitude_floor))

    @property
    def context_frames(self) -> int:
        """Frames on either side of an excerpt's centre frame, whose label is the excerpt's."""
        return self.excerpt_frames // 2

    @property
    def padding(self) -> int:
        """Zeros before the first and after the last sample of a sound."""
        return self.window_length // 2 if self.centered else 0

    def is_like(self, other: "FrontEnd") -> bool:
        """Whether two front ends are the same, whatever the length of their excerpts."""
        return self == dataclasses.replace(other, excerpt_frames=self.excerpt_frames)

    def num_frames(self, num_samples: int) -> int:
        """Frames of a recording of ``num_samples`` samples."""
        padded = num_samples + 2 * self.padding
        if not num_samples or padded < self.window_length:
            return 0
        return 1 + (padded - self.window_length) // self.hop_length

    def num_samples(self, num_frames: int) -> int:
        """Smallest number of samples that have ``num_frames`` frames."""
        if not num_frames:
            return 0
        padded = self.window_length + (num_frames - 1) * self.hop_length
        return max(padded - 2 * self.padding, 1)

    def band_edges_hz(self) -> np.ndarray:
        """(num_mels + 2,) corners of the filters, equally spaced on the filterbank's mel scale.

        Filter i rises from corner i to i + 1, its centre, and falls to i + 2.
        """
        low, high = hz_to_mel(self.min_hz, self.filterbank), hz_to_mel(self.max_hz, self.filterbank)
        return mel_to_hz(np.linspace(low, high, self.num_mels + 2), self.filterbank)

    def to_dict(self) -> dict[str, Any]:
        """Facts for JSON, from which `FrontEnd` makes an equal front end.

        Fields that came after the first version of the records are left out where they are the
        paper's, so that such records stay what they were, checksums included.
        """
        facts = dataclasses.asdict(self)
        for field in dataclasses.fields(self)[_FIRST_FIELDS:]:
            paper = self.window_length if field.name == "fft_length" else field.default
            if facts[field.name] == paper:
                del facts[field.name]
        return facts


def front_end_input(front_end: FrontEnd | None) -> dict[str, Any]:
    """What a run's configuration says among its inputs about the front end of its excerpts.

    Returns:
        ``front_end`` and its fields, or None if it is not known; nothing if it is the paper's.
    """
    if front_end == FrontEnd():
        return {}
    return {"front_end": None if front_end is None else front_end.to_dict()}


def run_front_end(config: Mapping[str, Any]) -> FrontEnd | None:
    """The front end of the excerpts of a run, from its configuration (`front_end_input`)."""
    found = config.get("inputs", {}).get("front_end", {})
    return None if found is None else FrontEnd(**found)


_FIRST_FIELDS = 8  # In the records of the first version.
_CHOICES: dict[str, tuple] = {
    "window": WINDOWS,
    "centered": (False, True),
    "power": (1, 2),
    "filterbank": FILTERBANKS,
    "compression": COMPRESSIONS,
}


def relative_decibels(
    log_mel: np.ndarray, reference: np.ndarray | float, front_end: FrontEnd
) -> np.ndarray:
    """Levels of mel bands in dB relative to another one, without the offset of the logarithm.

    Args:
        log_mel: Log-mel values, of any shape.
        reference: Log-mel values of the level 0 dB, which broadcast to that shape.
        front_end: Their front end.

    Returns:
        Of the same shape; for values of silence, a large negative number.
    """
    factor = front_end.log_factor
    per_neper = 20 / front_end.power / math.log(10)
    if not front_end.log_offset:
        return (log_mel - reference) * (per_neper / factor)
    levels = [
        np.log(np.maximum(np.expm1(values / factor - math.log(front_end.log_offset)), 1e-30))
        for values in (np.asarray(log_mel, np.float64), np.asarray(reference, np.float64))
    ]
    return (levels[0] - levels[1]) * per_neper


def hz_to_mel(hz: np.ndarray | float, filterbank: str = "ismir2015") -> np.ndarray:
    """Frequency in hertz on a filterbank's mel scale.

    ``ismir2015`` and ``htk``: 1127 ln(1 + f / 700). ``slaney``, as in his Auditory Toolbox (1998)
    and librosa: 3 f / 200 up to 1 kHz, logarithmic above.
    """
    hz = np.asarray(hz, np.float64)
    if filterbank != "slaney":
        return 1127 * np.log1p(hz / 700)
    octaves = np.log(np.maximum(hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ)
    return np.minimum(hz, _SLANEY_BREAK_HZ) / _SLANEY_HZ_PER_MEL + octaves / _SLANEY_LOG_STEP


def mel_to_hz(mel: np.ndarray | float, filterbank: str = "ismir2015") -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if filterbank != "slaney":
        return 700 * np.expm1(mel / 1127)
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    linear_hz = np.minimum(mel, break_mel) * _SLANEY_HZ_PER_MEL
    return linear_hz * np.exp(np.maximum(mel - break_mel, 0) * _SLANEY_LOG_STEP)


def _require(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        raise InputError(f"{name}: found {found!r}, expected {expected}")
