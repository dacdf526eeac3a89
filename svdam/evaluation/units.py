"""How units respond to real excerpts: moments, densities, selectivity, alikeness.

Responses arrive in parts, so that memory is bounded whatever the number of excerpts. They are gone
through twice: once for means and extremes, once for all that is measured around a mean, so that no
digits cancel.

* **Share above half the maximum** (selectivity): the share of real excerpts whose response is above
  half of the unit's highest. Few: the unit waits for something in particular.
* **Effect size of a label**: Cohen's d of the responses to excerpts with the label against those
  without it, with the pooled standard deviation.
* **Correlation** (Pearson) of two units over all real excerpts; units that correlate are alike.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from svdam.core.validation import InputError

Parts = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
"""Goes through all parts: (n, units) responses and (n, labels) labels, NaN where unknown."""

NUM_BINS = 64
MOST_COMPARED = 2048
"""Units beyond which correlations, whose number is the square, are left out."""
_ALIKE = 0.5


@dataclasses.dataclass
class UnitStatistics:
    """What is known of the responses of U units to M real excerpts.

    Attributes:
        num_excerpts: M.
        mean, variance: (U,) moments; the variance is unbiased.
        is_finite: (U,) bool, whether all responses are finite; the rest of a unit means nothing if
            not.
        bin_edges: (U, bins + 1), from each unit's lowest to its highest response.
        bin_counts: (U, bins) int64 excerpts per bin.
        share_above_half: (U,) share of the excerpts above half the highest response; NaN where no
            response is above 0.
        effect_sizes: (U, L) Cohen's d of each label; NaN where it is not defined.
        correlations: (U, U); NaN for units that do not vary. (0, 0) for more than `MOST_COMPARED`.
        highest, lowest: (U, N) the most extreme responses, the most extreme first.
        highest_at, lowest_at: (U, N) int64 numbers of their excerpts; ties go to the earlier one.
    """

    num_excerpts: int
    mean: np.ndarray
    variance: np.ndarray
    is_finite: np.ndarray
    bin_edges: np.ndarray
    bin_counts: np.ndarray
    share_above_half: np.ndarray
    effect_sizes: np.ndarray
    correlations: np.ndarray
    highest: np.ndarray
    lowest: np.ndarray
    highest_at: np.ndarray
    lowest_at: np.ndarray


def unit_statistics(parts: Parts, top_n: int, num_bins: int = NUM_BINS) -> UnitStatistics:
    """Measures units.

    Args:
        parts: The responses, at least ``top_n`` per unit; called twice.
        top_n: N, how many of the highest and of the lowest responses to keep.
        num_bins: Bins of the histograms.

    Raises:
        InputError: If there are fewer excerpts.
    """
    count, total, is_finite = 0, np.zeros(1), np.ones(1, bool)
    highest, lowest = _Extremes(top_n, -1), _Extremes(top_n, 1)
    for responses, _ in parts():
        values = responses.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            total = total + values.sum(axis=0)
        is_finite = is_finite & np.isfinite(values).all(axis=0)
        highest.add(values, count)
        lowest.add(values, count)
        count += len(values)
    if count < max(top_n, 2):
        raise InputError(f"top_n: {top_n} excerpts are requested, but there are {count}")
    mean = np.where(is_finite, total, 0) / count
    low, high = (np.where(is_finite, one.values[0], 0) for one in (lowest, highest))
    sums = _Centred(mean, low, high, num_bins)
    for responses, labels in parts():
        sums.add(np.where(is_finite, responses, 0).astype(np.float64), labels)
    return UnitStatistics(
        num_excerpts=count,
        mean=mean,
        variance=sums.squares / (count - 1),
        is_finite=is_finite,
        bin_edges=np.linspace(low, high, num_bins + 1, axis=1),
        bin_counts=sums.bins.reshape(len(mean), num_bins),
        share_above_half=np.where(high > 0, sums.above_half / count, np.nan),
        effect_sizes=sums.effect_sizes(),
        correlations=sums.correlations(),
        highest=highest.values.T,
        lowest=lowest.values.T,
        highest_at=highest.places.T,
        lowest_at=lowest.places.T,
    )


def alike_groups(correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups units whose responses correlate: average linkage over 1 - correlation.

    Args:
        correlations: (U, U); NaN for units that do not vary, which are alike to none.

    Returns:
        (U,) int64 units in the order of the leaves, neighbours alike, and (U,) int64 number of
        each unit's group, from 0 on, in that order. Groups correlate by more than 0.5 on average.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    count = len(correlations)
    if count < 2:
        return np.arange(count), np.zeros(count, np.int64)
    apart = 1 - np.nan_to_num(correlations, nan=0.0)
    apart = np.clip((apart + apart.T) / 2, 0, 2)
    np.fill_diagonal(apart, 0)
    condensed = squareform(apart, checks=False)
    tree = hierarchy.linkage(condensed, "average")
    if count <= 512:  # The best of the orders takes time that grows with the square.
        tree = hierarchy.optimal_leaf_ordering(tree, condensed)
    order = hierarchy.leaves_list(tree).astype(np.int64)
    labels = hierarchy.fcluster(tree, _ALIKE, "distance")
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels[order]))}
    return order, np.array([numbers[label] for label in labels], np.int64)


class _Extremes:
    """The ``top_n`` smallest of ``sign * value`` in each column, and their rows."""

    def __init__(self, top_n: int, sign: int):
        self._top_n, self._sign = top_n, sign
        self.values = np.empty((0, 0))
        self.places = np.empty((0, 0), np.int64)

    def add(self, values: np.ndarray, first: int) -> None:
        """Takes (n, units) values in, whose rows are numbered from ``first`` on."""
        places = np.broadcast_to(np.arange(first, first + len(values))[:, np.newaxis], values.shape)
        if self.values.size:  # Earlier rows first: a stable sort leaves them before equal ones.
            values = np.concatenate([self.values, values])
            places = np.concatenate([self.places, places])
        order = np.argsort(self._sign * values, axis=0, kind="stable")[: self._top_n]
        self.values = np.take_along_axis(values, order, axis=0)
        self.places = np.take_along_axis(places, order, axis=0)


class _Centred:
    """Sums of what is measured around the means."""

    def __init__(self, mean: np.ndarray, low: np.ndarray, high: np.ndarray, num_bins: int):
        units = len(mean)
        self._mean, self._low, self._high, self._num_bins = mean, low, high, num_bins
        self.squares, self.above_half = np.zeros(units), np.zeros(units)
        self.bins = np.zeros(units * num_bins, np.int64)
        self._products = np.zeros((units, units) if units <= MOST_COMPARED else (0, 0))
        # Of excerpts without the label and with it: number, sum, sum of squares.
        self._labelled: np.ndarray | None = None

    def add(self, values: np.ndarray, labels: np.ndarray) -> None:
        """Takes (n, units) responses and (n, labels) labels in."""
        # Exactly 0 where a unit does not vary, whatever its mean was rounded to.
        centred = np.where(self._high > self._low, values - self._mean, 0)
        self.squares += (centred**2).sum(axis=0)
        self.above_half += (values > self._high / 2).sum(axis=0)
        span = np.where(self._high > self._low, self._high - self._low, 1)
        place = ((values - self._low) / span * self._num_bins).astype(np.int64)
        place = np.clip(place, 0, self._num_bins - 1) + np.arange(len(span)) * self._num_bins
        self.bins += np.bincount(place.ravel(), minlength=len(self.bins))
        if self._products.size:
            self._products += centred.T @ centred
        if self._labelled is None:
            self._labelled = np.zeros((2, 3, labels.shape[1], len(span)))
        for value in (0, 1):
            has = (labels == value).astype(np.float64).T
            moments = has @ np.ones_like(centred), has @ centred, has @ centred**2
            self._labelled[value] += np.stack(moments)

    def effect_sizes(self) -> np.ndarray:
        """(units, labels) Cohen's d."""
        assert self._labelled is not None
        number, total, squares = self._labelled.swapaxes(0, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = total / number
            within = (squares - number * means**2).sum(axis=0)
            spread = np.sqrt(np.maximum(within, 0) / (number.sum(axis=0) - 2))
            known = (number.min(axis=0) >= 2) & (spread > 0)
            return np.where(known, (means[1] - means[0]) / spread, np.nan).T

    def correlations(self) -> np.ndarray:
        """(units, units)."""
        if not self._products.size:
            return self._products
        spread = np.sqrt(self.squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self._products / np.outer(spread, spread)
        return np.clip(found, -1, 1)
