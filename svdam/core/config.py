"""The constants of the paper's front end and prior: the only place where they are written.

Sections 3.1, 3.3 and 3.4 of the paper and the code of Schlueter & Grill (ISMIR 2015) fix them.
"""

from svdam.core.front_end import FrontEnd

FRONT_END = FrontEnd()

LATENT_SIZE = 128
"""Dimensions of the generator's latent (Section 3.3)."""

GENERATOR_PRESETS = ("paper", "full_band", "square")
"""Choices of the generator's kernels; `svdam.models.generator` holds them."""

LIGHT = "light"
"""Preset of the networks in `svdam.models.light_gan`."""

RESPONSE_SPACING = 50
"""Frames between the excerpts whose responses are collected (Section 3.4)."""

MEDIAN_FILTER_FRAMES = 56
"""Length of the median filter over predictions (Schlueter & Grill's evaluation)."""

EXAMPLES_PER_SET = 50
"""N of the paper: examples of a configuration, and highest responses of the data set."""
