"""Do the explanations show the concept? Section 4.2's three observations, measured.

The paper looks at examples that maximize a voice neuron and sees "a stronger presence of harmonic
content", "a lack of energy in the very low frequency band below the human voice range" and "few
transient sounds such as drum hits (visible as vertical bars)"; minimizing gives the reverse. Here
each observation is one number for each excerpt:

* **harmonic energy** (share, 0 to 1): the part of the energy that lies in horizontal ridges. As in
  harmonic-percussive separation (FitzGerald, DAFx 2010), the mel energies are median-filtered
  along time (0.24 s, which keeps what is sustained) to H and along frequency (380 mel, which keeps
  what is broad) to P; the share of the energy that the mask H / (H + P) lets pass is taken.
* **low-band energy** (dB): energy in the bands centred below 100 Hz relative to all energy.
* **transients** (dB/s): how much the level, averaged over all bands in dB, rises in a second,
  summed over all rises within 29 ms. A drum hit lifts most bands at once; a
  new note or vibrato moves energy between bands and hardly shows.

These lengths are those of 17 frames, 11 bands and 2 frames of the paper's front end; with others,
they are rounded to its frames and bands. Medians are over an odd number of them.

All three are blind to the overall level: adding a constant to a log-mel excerpt changes none.
Bands more than 60 dB below an excerpt's maximum count as 60 dB below it, so that inaudible
flicker near the floor is no transient.

Effect sizes are differences of means divided by the pooled standard deviation, with Hedges'
correction for small samples; intervals are percentiles of the bootstrap.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.front_end import hz_to_mel, relative_decibels
from svdam.core.validation import InputError, require_finite

LOW_BAND_HZ = 100.0
DYNAMIC_RANGE_DB = 60.0
HARMONIC_SECS = 17 / FRONT_END.frames_per_second
PERCUSSIVE_MEL = 380.0
RISE_SECS = 2 / FRONT_END.frames_per_second

MEASURES = {
    "harmonic_energy": "share",
    "low_band_energy": "dB",
    "transients": "dB/s",
}
"""Name of each measure, and its unit."""

CLAIMED_SIGN = {"harmonic_energy": 1, "low_band_energy": -1, "transients": -1}
"""Section 4.2: how each measure moves towards the maximized examples of a voice neuron."""


@dataclasses.dataclass(frozen=True)
class Effect:
    """How one measure differs between two sets of excerpts.

    Attributes:
        measure: Name, as in `MEASURES`.
        unit: Its unit.
        mean_before: Mean over the first set.
        mean_after: Mean over the second.
        difference: ``mean_after - mean_before``.
        difference_low: Lower end of its bootstrap interval.
        difference_high: Upper end.
        effect_size: Hedges' g; NaN where neither set varies.
        effect_low: Lower end of its bootstrap interval.
        effect_high: Upper end.
    """

    measure: str
    unit: str
    mean_before: float
    mean_after: float
    difference: float
    difference_low: float
    difference_high: float
    effect_size: float
    effect_low: float
    effect_high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.difference_low > 0 or self.difference_high < 0


def measure_excerpts(
    excerpts: np.ndarray, front_end: FrontEnd = FRONT_END
) -> dict[str, np.ndarray]:
    """The three measures of every excerpt.

    Args:
        excerpts: (N, frames, num_mels) or (N, frames, num_mels, 1) log-mel.
        front_end: Front-end settings.

    Returns:
        For each name in `MEASURES`, an array (N,) float64. Low-band energy is left out if the
        front end has no bands there.

    Raises:
        InputError: If the shape is wrong or a value is not finite.
    """
    log_mel = _validate_excerpts(excerpts, front_end)
    peak = log_mel.max(axis=(1, 2), keepdims=True)
    relative_db = np.maximum(relative_decibels(log_mel, peak, front_end), -DYNAMIC_RANGE_DB)
    energy = 10 ** (relative_db / 10)
    measures = {"harmonic_energy": _harmonic_share(energy, front_end)}
    if band_centers_hz(front_end)[0] < LOW_BAND_HZ:
        measures["low_band_energy"] = _low_band_db(energy, front_end)
    measures["transients"] = _transients(relative_db, front_end)
    return measures


def compare_sets(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    *,
    paired: bool,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[Effect]:
    """Effect sizes between two sets of measured excerpts.

    Args:
        before: What `measure_excerpts` gave for the first set.
        after: For the second.
        paired: Whether excerpt i of both sets started from the same latent; the bootstrap then
            draws them together.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples.
        seed: Of the bootstrap.

    Returns:
        One effect for each measure.

    Raises:
        InputError: If a set has fewer than two excerpts, or paired sets differ in size.
    """
    rng = np.random.default_rng(seed)
    sizes = len(before["transients"]), len(after["transients"])
    if min(sizes) < 2 or (paired and sizes[0] != sizes[1]):
        raise InputError(
            f"compare_sets: found sets of {sizes[0]} and {sizes[1]} excerpts, expected at least "
            f"two each{', and as many in both' if paired else ''}"
        )
    drawn_before = rng.integers(sizes[0], size=(num_resamples, sizes[0]))
    drawn_after = drawn_before if paired else rng.integers(sizes[1], size=(num_resamples, sizes[1]))
    tail = 100 * (1 - confidence) / 2
    effects = []
    for name, unit in MEASURES.items():
        if name not in before:
            continue
        first, second = before[name], after[name]
        difference, effect = _effect(first, second)
        differences, sizes_drawn = _effect(first[drawn_before], second[drawn_after])
        low, high = np.percentile(differences, [tail, 100 - tail])
        effect_low, effect_high = _finite_percentiles(sizes_drawn, [tail, 100 - tail])
        effects.append(
            Effect(
                measure=name,
                unit=unit,
                mean_before=float(first.mean()),
                mean_after=float(second.mean()),
                difference=float(difference),
                difference_low=float(low),
                difference_high=float(high),
                effect_size=float(effect),
                effect_low=float(effect_low),
                effect_high=float(effect_high),
            )
        )
    return effects


def band_centers_hz(front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """Centre frequencies of the mel filters in hertz, (num_mels,) (footnote 3)."""
    return front_end.band_edges_hz()[1:-1]


def _odd(count: float) -> int:
    """The nearest odd number."""
    return 2 * round((count - 1) / 2) + 1


def _rise_frames(front_end: FrontEnd) -> int:
    return max(1, round(RISE_SECS * front_end.frames_per_second))


def _harmonic_share(energy: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    import scipy.ndimage

    low_mel, high_mel = hz_to_mel(front_end.min_hz), hz_to_mel(front_end.max_hz)
    bands_per_mel = (front_end.num_mels + 1) / (high_mel - low_mel)
    frames = min(_odd(HARMONIC_SECS * front_end.frames_per_second), energy.shape[1])
    bands = min(_odd(PERCUSSIVE_MEL * bands_per_mel), energy.shape[2])
    sustained = scipy.ndimage.median_filter(energy, size=(1, frames, 1), mode="nearest")
    broad = scipy.ndimage.median_filter(energy, size=(1, 1, bands), mode="nearest")
    # The usual mask H^2 / (H^2 + P^2) is of magnitudes; energies are their squares already.
    mask = sustained / (sustained + broad)
    return (energy * mask).sum(axis=(1, 2)) / energy.sum(axis=(1, 2))


def _low_band_db(energy: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    low = energy[:, :, band_centers_hz(front_end) < LOW_BAND_HZ].sum(axis=(1, 2))
    return 10 * np.log10(low / energy.sum(axis=(1, 2)))


def _transients(relative_db: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    level, frames = relative_db.mean(axis=2), _rise_frames(front_end)
    rises = np.maximum(level[:, frames:] - level[:, :-frames], 0)
    # A step is seen by as many of these overlapping differences as they are long.
    seconds = rises.shape[1] / front_end.frames_per_second
    return rises.sum(axis=1) / frames / seconds


def _effect(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference of means, and Hedges' g, over the last axis."""
    count_a, count_b = first.shape[-1], second.shape[-1]
    freedom = count_a + count_b - 2
    squares_a = first.var(axis=-1, ddof=1) * (count_a - 1)
    squares_b = second.var(axis=-1, ddof=1) * (count_b - 1)
    spread = np.sqrt((squares_a + squares_b) / freedom)
    difference = second.mean(axis=-1) - first.mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = difference / np.where(spread > 0, spread, np.nan) * (1 - 3 / (4 * freedom - 1))
    return difference, effect


def _finite_percentiles(values: np.ndarray, percents: list[float]) -> np.ndarray:
    values = values[np.isfinite(values)]
    return np.percentile(values, percents) if len(values) else np.full(len(percents), np.nan)


def _validate_excerpts(excerpts: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    excerpts = np.asarray(excerpts, dtype=float)
    if excerpts.ndim == 4 and excerpts.shape[3] == 1:
        excerpts = excerpts[..., 0]
    expected = excerpts.ndim == 3 and excerpts.shape[2] == front_end.num_mels
    if not expected or excerpts.shape[1] <= _rise_frames(front_end) or not len(excerpts):
        raise InputError(
            f"excerpts: found shape {excerpts.shape}, expected (N, frames, {front_end.num_mels})"
        )
    require_finite(excerpts, "excerpts")
    return excerpts
