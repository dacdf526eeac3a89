"""Does another classifier hear the concept? The share of a real difference that examples transfer.

A *listener*, a classifier that had no part in the optimization, is given the examples that maximize
and minimize a response of the explained classifier, and the real excerpts with the highest and
lowest responses. Between the real sets its own response differs by some amount; the examples
transfer a share of that:

    transfer = (mean of maximized - mean of minimized) / (mean of highest - mean of lowest)

1 means that the listener hears the examples as far apart as real music, 0 that it hears no
difference, and a negative value that it hears the reverse.

Intervals are percentiles of the bootstrap. Maximized and minimized examples that started from the
same latent are drawn together. Where the interval of the denominator reaches 0 or below, the
listener does not tell the real excerpts apart in the expected direction: then a share of that
difference means nothing, and transfer is NaN. Excerpts of the same song are drawn as if they were
independent, so intervals are somewhat too narrow where few songs provide all extremes.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from svdam.core.validation import InputError, require_finite

GROUPS = ("maximized", "minimized", "highest", "lowest")
"""What a listener has to hear; anything else, such as ``start``, is optional."""


@dataclasses.dataclass(frozen=True)
class Transfer:
    """How much of a concept a listener hears.

    Attributes:
        means: The listener's mean response to each group of excerpts, by its name.
        transfer: The share above; NaN where the listener does not tell the real excerpts apart.
        low, high: Ends of its bootstrap interval; NaN likewise.
        real_difference: The denominator, mean of the highest minus mean of the lowest.
        real_low, real_high: Ends of its bootstrap interval.
    """

    means: dict[str, float]
    transfer: float
    low: float
    high: float
    real_difference: float
    real_low: float
    real_high: float

    @property
    def is_defined(self) -> bool:
        """Whether the listener tells the highest real excerpts from the lowest."""
        return self.real_low > 0


def measure_transfer(
    heard: Mapping[str, np.ndarray],
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Transfer:
    """Computes transfer and its interval from what a listener heard.

    Args:
        heard: The listener's responses (N,) to each group of excerpts: those of `GROUPS`, in which
            example i of ``maximized`` and of ``minimized`` started from the same latent, and any
            others, whose means are reported.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples.
        seed: Of the bootstrap.

    Raises:
        InputError: If a group is missing, has fewer than two responses, one that is not finite, or
            if the numbers of maximized and minimized examples differ.
    """
    values = _validated(heard)
    rng = np.random.default_rng(seed)

    def drawn_means(name: str, places: np.ndarray | None = None) -> np.ndarray:
        size = len(values[name])
        if places is None:
            places = rng.integers(size, size=(num_resamples, size))
        return values[name][places].mean(axis=1)

    count = len(values["maximized"])
    latents = rng.integers(count, size=(num_resamples, count))
    differences = drawn_means("maximized", latents) - drawn_means("minimized", latents)
    real_differences = drawn_means("highest") - drawn_means("lowest")
    tails = 50 * np.array([1 - confidence, 1 + confidence])
    real_low, real_high = np.percentile(real_differences, tails)
    means = {name: float(one.mean()) for name, one in values.items()}
    real_difference = means["highest"] - means["lowest"]
    transfer, low, high = np.nan, np.nan, np.nan
    if real_low > 0:
        transfer = (means["maximized"] - means["minimized"]) / real_difference
        # The few resamples that do not tell the real sets apart are beyond any bound.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = differences / real_differences
        ratios = np.where(real_differences > 0, ratios, np.copysign(np.inf, differences))
        low, high = np.percentile(ratios, tails, method="nearest")
    ends = (float(one) for one in (transfer, low, high, real_difference, real_low, real_high))
    return Transfer(means, *ends)


def _validated(heard: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    values = {name: np.asarray(one, dtype=float) for name, one in heard.items()}
    for name in GROUPS:
        if name not in values:
            raise InputError(f"transfer: found no responses of {name!r}, expected {GROUPS}")
    for name, one in values.items():
        least = 2 if name in GROUPS else 1
        if one.ndim != 1 or len(one) < least:
            raise InputError(
                f"transfer: {name} has shape {one.shape}, expected at least {least} responses"
            )
        require_finite(one, f"transfer: {name}")
    sizes = len(values["maximized"]), len(values["minimized"])
    if sizes[0] != sizes[1]:
        raise InputError(
            f"transfer: found {sizes[0]} maximized and {sizes[1]} minimized examples, expected as "
            "many of both, from the same latents"
        )
    return values
