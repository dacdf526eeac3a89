"""The constants of the paper's front end and prior: the only place where they are written.

Sections 3.1, 3.3 and 3.4 of the paper and the code of Schlueter & Grill (ISMIR 2015) fix them.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """How sound becomes a log-mel spectrogram (Section 3.1, footnotes 2 and 3).

    Attributes:
        sample_rate: In Hz, mono.
        window_length: STFT window, in samples (symmetric Hann).
        hop_length: STFT hop, in samples.
        num_mels: Number of triangular mel filters.
        min_hz: Lower edge of the lowest filter.
        max_hz: Upper edge of the highest filter.
        magnitude_floor: Mel magnitudes below this are raised to it before the logarithm.
        excerpt_frames: Frames of one excerpt, the classifier's input.
    """

    sample_rate: int = 22050
    window_length: int = 1024
    hop_length: int = 315
    num_mels: int = 80
    min_hz: float = 27.5
    max_hz: float = 8000.0
    magnitude_floor: float = 1e-7
    excerpt_frames: int = 115

    @property
    def frames_per_second(self) -> float:
        """Log-mel frames a second (70 with the paper's settings)."""
        return self.sample_rate / self.hop_length

    @property
    def silence(self) -> float:
        """Log-mel value of digital silence: log of the magnitude floor."""
        return math.log(self.magnitude_floor)

    @property
    def context_frames(self) -> int:
        """Frames on either side of an excerpt's centre frame, whose label is the excerpt's."""
        return self.excerpt_frames // 2

    def num_frames(self, num_samples: int) -> int:
        """Frames of a recording of ``num_samples`` samples; there is no centre padding."""
        if num_samples < self.window_length:
            return 0
        return 1 + (num_samples - self.window_length) // self.hop_length

    def num_samples(self, num_frames: int) -> int:
        """Samples that ``num_frames`` frames span; the inverse of `num_frames`."""
        return self.window_length + (num_frames - 1) * self.hop_length if num_frames else 0


FRONT_END = FrontEnd()

LATENT_SIZE = 128
"""Dimensions of the generator's latent (Section 3.3)."""

GENERATOR_PRESETS = ("paper", "full_band", "square")
"""Choices of the generator's kernels; `svdam.models.generator` holds them."""

RESPONSE_SPACING = 50
"""Frames between the excerpts whose responses are collected (Section 3.4)."""

MEDIAN_FILTER_FRAMES = 56
"""Length of the median filter over predictions (Schlueter & Grill's evaluation)."""

EXAMPLES_PER_SET = 50
"""N of the paper: examples of a configuration, and highest responses of the data set."""
