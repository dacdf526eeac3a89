"""Choosing the configuration: which settings give examples whose responses look like real ones.

Section 2.4 of the paper. Every configuration of activation maximization gives a set of N examples
with their responses; the data set gives the N real excerpts with the highest (lowest, when
minimizing) responses. Configurations are ranked by the Frechet distance between the two sets of
responses (eq. 3), the smallest first.

How sure is the ranking? The bootstrap answers: N examples and N real responses are drawn again,
with replacement, and everything is ranked again. Examples of all configurations that started from
the same latent are drawn together, because that is how they were made. Two caveats: distances of
resamples are biased upwards like all estimates from N samples, so an interval may lie above its
estimate; and the real responses are the top of a data set, not a random sample, so their part of
the interval is an approximation.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from svdam.core.validation import InputError, quoted_list
from svdam.evaluation.frechet import frechet_distance_of_samples, sample_moments, scalar_distances

SURE = 0.95
"""Share of resamples in which the first must beat the second to be called better."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One choice of the hyper-parameters of activation maximization.

    Attributes:
        learning_rate: Learning rate of the optimizer.
        prior_weight: Weight lambda of the prior.
        num_steps: Number of steps.
    """

    learning_rate: float
    prior_weight: float
    num_steps: int

    @property
    def folder_name(self) -> str:
        """Name that is safe in a path: ``rate=0.1,lambda=0.01,steps=100``."""
        return f"rate={self.learning_rate:g},lambda={self.prior_weight:g},steps={self.num_steps}"

    def __str__(self):
        return f"rate {self.learning_rate:g}, lambda {self.prior_weight:g}, {self.num_steps} steps"


@dataclasses.dataclass(frozen=True)
class RankedConfiguration(Configuration):
    """A configuration with its rank: one row of Table 5.

    Attributes:
        rank: 1 for the best.
        index: Position of the configuration in the list that was ranked.
        mark: "best", "median", "worst" (as in Table 5) or "".
        mean: Mean of its responses; for vectors, the mean over all units.
        variance: Unbiased variance of its responses; for vectors, the mean over all units.
        distance: Eq. 3 against the real responses.
        distance_low: Lower end of the distance's bootstrap interval.
        distance_high: Upper end.
        first_share: Share of the bootstrap resamples in which it comes first.
    """

    rank: int
    index: int
    mark: str
    mean: float
    variance: float
    distance: float
    distance_low: float
    distance_high: float
    first_share: float

    @property
    def configuration(self) -> Configuration:
        """The configuration alone."""
        return Configuration(self.learning_rate, self.prior_weight, self.num_steps)

    def __str__(self):
        return str(self.configuration)


@dataclasses.dataclass(frozen=True)
class Ranking:
    """All configurations, the best first.

    Attributes:
        rows: One for each configuration.
        real_mean: Mean of the real responses.
        real_variance: Their unbiased variance.
        num_real: How many real responses.
        num_generated: How many examples a configuration has.
        confidence: Of the intervals, as 0.95.
        ahead_share: Share of the resamples in which the first beats the second (1 if alone).
        warnings: What a reader should know, one line each.
        layer: Layer whose units were compared, in the multivariate form of eq. 3; "" where scalar
            responses were.
    """

    rows: tuple[RankedConfiguration, ...]
    real_mean: float
    real_variance: float
    num_real: int
    num_generated: int
    confidence: float
    ahead_share: float
    warnings: tuple[str, ...]
    layer: str = ""

    @property
    def best(self) -> RankedConfiguration:
        """The configuration with the smallest distance (C1 of Table 5)."""
        return self.rows[0]

    @property
    def median(self) -> RankedConfiguration:
        """The one in the middle; of an even number, the better of the middle two (C2)."""
        return self.rows[(len(self.rows) - 1) // 2]

    @property
    def worst(self) -> RankedConfiguration:
        """The configuration with the largest distance (C3)."""
        return self.rows[-1]


def rank_configurations(
    generated: np.ndarray,
    real: np.ndarray,
    configurations: Sequence[Configuration],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Ranking:
    """Ranks configurations by eq. 3 against real responses.

    Args:
        generated: (C, N) responses of C configurations, example i of each from the same latent; or
            (C, N, n) where the response is a vector, as all units of a layer.
        real: (M,) or (M, n) real responses, the highest or the lowest; M = N in the paper.
        configurations: The C configurations.
        num_resamples: Bootstrap resamples.
        confidence: Of the intervals.
        seed: Of the resamples.

    Returns:
        The ranking.

    Raises:
        InputError: If shapes disagree, fewer than two examples are given, or the responses of a
            configuration (or the real ones) are constant or not finite.
    """
    generated, real = np.asarray(generated, dtype=float), np.asarray(real, dtype=float)
    _validate(generated, real, configurations)
    distances = np.array([frechet_distance_of_samples(real, one) for one in generated])
    resampled = _resampled_distances(generated, real, num_resamples, seed)
    low, high = _interval(resampled, confidence)
    is_first = resampled == resampled.min(axis=0)
    first_share = (is_first / is_first.sum(axis=0)).mean(axis=1)
    order = np.argsort(distances, kind="stable")
    rows = [
        RankedConfiguration(
            **vars(configurations[index]),
            rank=rank,
            index=index,
            mark=mark,
            mean=_summary(generated[index])[0],
            variance=_summary(generated[index])[1],
            distance=float(distances[index]),
            distance_low=float(low[index]),
            distance_high=float(high[index]),
            first_share=float(first_share[index]),
        )
        for rank, (index, mark) in enumerate(
            zip(order.tolist(), _marks(len(order)), strict=True), 1
        )
    ]
    ahead = float(np.mean(resampled[order[0]] < resampled[order[1]])) if len(order) > 1 else 1.0
    real_mean, real_variance = _summary(real)
    return Ranking(
        rows=tuple(rows),
        real_mean=real_mean,
        real_variance=real_variance,
        num_real=len(real),
        num_generated=generated.shape[1],
        confidence=confidence,
        ahead_share=ahead,
        warnings=tuple(_warnings(rows, resampled, ahead, generated, real)),
    )


def distance_interval(
    generated: np.ndarray,
    real: np.ndarray,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of the distance (eq. 3) between two sets of responses.

    Args:
        generated: (N,) responses of examples.
        real: (M,) real responses.
        num_resamples: Bootstrap resamples.
        confidence: Of the interval.
        seed: Of the resamples.

    Returns:
        Its lower and upper end, as in `rank_configurations`.
    """
    generated, real = np.asarray(generated, dtype=float), np.asarray(real, dtype=float)
    resampled = _resampled_distances(generated[np.newaxis], real, num_resamples, seed)
    low, high = _interval(resampled, confidence)
    return float(low[0]), float(high[0])


def unusable_configurations(generated: np.ndarray, names: Sequence[str]) -> dict[int, str]:
    """What makes a configuration impossible to rank.

    Args:
        generated: (C, N) or (C, N, n) responses.
        names: Name of each configuration.

    Returns:
        One line for each such configuration, by its position: responses that are not finite (the
        search diverged), or all equal (the response does not depend on the example).
    """
    found = {}
    for index, (name, responses) in enumerate(zip(names, generated, strict=True)):
        bad = np.count_nonzero(~np.isfinite(responses).reshape(len(responses), -1).all(axis=1))
        if bad:
            found[index] = f"{name}: {bad} of {len(responses)} responses are not finite"
        elif (responses == responses[:1]).all():
            value = f"{responses.flat[0]:.6g}" if responses.ndim == 1 else "one vector"
            found[index] = f"{name}: all {len(responses)} responses are the same ({value})"
    return found


def rank_correlation(values_a: np.ndarray, values_b: np.ndarray) -> float:
    """Spearman's rank correlation of two measures over the configurations, in [-1, 1].

    Returns:
        The correlation; NaN where one of the measures is constant, because then it ranks nothing.

    Raises:
        InputError: If shapes disagree or there are fewer than three values.
    """
    import scipy.stats

    values_a, values_b = np.asarray(values_a, dtype=float), np.asarray(values_b, dtype=float)
    if values_a.shape != values_b.shape or values_a.ndim != 1 or len(values_a) < 3:
        raise InputError(
            f"rank_correlation: found shapes {values_a.shape} and {values_b.shape}, "
            "expected two equal lists of at least three values"
        )
    if np.ptp(values_a) == 0 or np.ptp(values_b) == 0:
        return float("nan")
    return float(scipy.stats.spearmanr(values_a, values_b).statistic)


def _resampled_distances(
    generated: np.ndarray, real: np.ndarray, num_resamples: int, seed: int
) -> np.ndarray:
    """Distances (C, num_resamples) of bootstrap resamples."""
    rng = np.random.default_rng(seed)
    count = generated.shape[1]
    distances = np.empty((len(generated), num_resamples))
    block = max(1, int(2e6 / (count + len(real))))  # Bounds the memory of many examples.
    for start in range(0, num_resamples, block):
        stop = min(start + block, num_resamples)
        drawn = rng.integers(count, size=(stop - start, count))
        drawn_real = rng.integers(len(real), size=(stop - start, len(real)))
        if generated.ndim == 3:
            for row, vectors in zip(distances, generated, strict=True):
                row[start:stop] = _vector_distances(vectors, real, drawn, drawn_real)
            continue
        resampled = real[drawn_real]
        mean_real, var_real = resampled.mean(axis=1), resampled.var(axis=1, ddof=1)
        for row, responses in zip(distances, generated, strict=True):
            resampled = responses[drawn]
            mean, variance = resampled.mean(axis=1), resampled.var(axis=1, ddof=1)
            row[start:stop] = scalar_distances(mean_real, var_real, mean, variance)
    return distances


def _interval(resampled: np.ndarray, confidence: float) -> np.ndarray:
    """(2, C) lower and upper ends of (C, num_resamples) distances."""
    tail = 100 * (1 - confidence) / 2
    return np.percentile(resampled, [tail, 100 - tail], axis=1)


def _vector_distances(
    generated: np.ndarray, real: np.ndarray, drawn: np.ndarray, drawn_real: np.ndarray
) -> np.ndarray:
    """Multivariate eq. 3 of B resamples, from inner products alone.

    All that the distance needs of vectors are their inner products, which are taken once: a
    resample costs the same whether the layer has 64 units or 60,000.

    Args:
        generated: (N, n) vectors.
        real: (M, n) vectors.
        drawn: (B, N) positions in ``generated``.
        drawn_real: (B, M) positions in ``real``.

    Returns:
        (B,) distances.
    """
    center = real.mean(axis=0)  # Squares of small numbers lose fewer digits.
    generated, real = generated - center, real - center
    cross = generated @ real.T
    own, own_real = generated @ generated.T, real @ real.T
    count, count_real = drawn.shape[1], drawn_real.shape[1]
    distances = np.empty(len(drawn))
    for place, (i, j) in enumerate(zip(drawn, drawn_real, strict=True)):
        means = own[np.ix_(i, i)].mean(), own_real[np.ix_(j, j)].mean()
        inner = cross[np.ix_(i, j)]
        between = inner.mean()
        trace = (own[i, i].mean() - means[0]) * count / (count - 1)
        trace_real = (own_real[j, j].mean() - means[1]) * count_real / (count_real - 1)
        inner = inner - inner.mean(axis=0) - inner.mean(axis=1)[:, np.newaxis] + between
        coupling = np.linalg.svd(inner, compute_uv=False).sum()
        coupling /= np.sqrt((count - 1) * (count_real - 1))
        apart = max(means[0] + means[1] - 2 * between, 0.0)
        distances[place] = apart + max(trace + trace_real - 2 * coupling, 0.0)
    return distances


def _summary(responses: np.ndarray) -> tuple[float, float]:
    if responses.ndim == 1:
        mean, variance = sample_moments(responses)
        return float(mean), float(variance)
    return float(responses.mean()), float(responses.var(axis=0, ddof=1).mean())


def _marks(count: int) -> list[str]:
    marks = [""] * count
    marks[-1] = "worst"
    marks[(count - 1) // 2] = "median"
    marks[0] = "best"
    return marks


def _warnings(rows, resampled, ahead, generated, real) -> list[str]:
    found = []
    count = generated.shape[1]
    if len(rows) > 1 and ahead < SURE:
        first, second = rows[:2]
        found.append(
            f"N = {count} is too small to tell the first two apart: {first} beats "
            f"{second} in {ahead:.0%} of {resampled.shape[1]} bootstrap resamples only"
            f"{_advice(resampled[second.index] - resampled[first.index], count)}"
        )
    if len(real) != count:
        found.append(
            f"{count} examples are compared with {len(real)} real responses: the paper compares "
            "sets of equal size, and the distance depends on it"
        )
    return found


def _advice(lead: np.ndarray, count: int) -> str:
    """How many examples would do, if the lead stays as it is and its spread falls with root N."""
    mean, spread = lead.mean(), lead.std()
    if not np.isfinite(spread) or mean <= 0:
        return ""
    needed = int(np.ceil(count * (1.645 * spread / mean) ** 2))
    return f"; about {needed} would be needed" if count < needed <= 100 * count else ""


def _validate(
    generated: np.ndarray, real: np.ndarray, configurations: Sequence[Configuration]
) -> None:
    if generated.ndim not in (2, 3) or generated.shape[1:2] < (2,) or not len(generated):
        raise InputError(
            f"responses of the configurations: found shape {generated.shape}, expected "
            "(configurations, examples), with at least two examples each: a variance needs two"
        )
    if real.shape[1:] != generated.shape[2:] or len(real) < 2:
        raise InputError(
            f"real responses: found shape {real.shape}, expected at least two responses like "
            f"those of the examples, {('M', *generated.shape[2:])}"
        )
    names = list(map(str, configurations))
    if len(names) != len(generated):
        raise InputError(
            f"found responses of {len(generated)} configurations, expected those of {len(names)}"
        )
    if problems := unusable_configurations(real[None], ["real responses"]):
        raise InputError(f"{problems[0]}; collect the responses again")
    if problems := unusable_configurations(generated, names):
        raise InputError(
            f"cannot rank {quoted_list([names[i] for i in problems], 6)}: "
            f"{'; '.join(list(problems.values())[:6])}"
        )
