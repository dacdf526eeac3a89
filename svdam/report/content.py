"""What a report shows, as plain arrays: no files, no models, no TensorFlow."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from svdam.core.config import FRONT_END
from svdam.core.drawing import SpectrogramAxes
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError, require_finite
from svdam.evaluation.ranking import Configuration, RankedConfiguration
from svdam.evaluation.realism import RealismRow
from svdam.evaluation.transfer import Transfer


@dataclasses.dataclass
class ExampleSet:
    """N excerpts that belong together: one configuration's examples, or real recordings.

    Attributes:
        key: Short name that is safe in a file name, e.g. ``rank001``.
        title: Name for people.
        log_mels: (N, frames, bands) log-mel spectrograms.
        responses: (N,).
        labels: What each excerpt is: a seed, or a song and a time.
        probabilities: (N,) in [0, 1], or None where the response gives none.
        log_priors: (N,) log p(z), or None.
        configuration: The configuration that made the examples, or None.
        mark: ``best``, ``median``, ``worst``, ``minimized`` ... or "".
        history: (steps + 1, N) responses at each step, or None.
        sounds_of: Positions of the excerpts that get a sound.
        measures: (N,) values of each measure of Section 4.2, by its name, or None.
        front_end: Front end of the spectrograms.
    """

    key: str
    title: str
    log_mels: np.ndarray
    responses: np.ndarray
    labels: list[str]
    probabilities: np.ndarray | None = None
    log_priors: np.ndarray | None = None
    configuration: Configuration | None = None
    mark: str = ""
    history: np.ndarray | None = None
    sounds_of: tuple[int, ...] = ()
    measures: Mapping[str, np.ndarray] | None = None
    front_end: FrontEnd = FRONT_END

    def __post_init__(self):
        count = len(self.log_mels)
        if self.log_mels.ndim != 3 or not count:
            raise InputError(
                f"{self.title}: examples have shape {self.log_mels.shape}, "
                "expected (N, frames, bands) with N > 0"
            )
        for name in ("responses", "labels", "probabilities", "log_priors"):
            values = getattr(self, name)
            if values is not None and len(values) != count:
                raise InputError(f"{self.title}: {count} examples, but {len(values)} {name}")
        require_finite(self.log_mels, self.title)

    def __len__(self) -> int:
        return len(self.log_mels)

    @property
    def axes(self) -> SpectrogramAxes:
        """Axes of its spectrograms."""
        return SpectrogramAxes.of(self.front_end)


@dataclasses.dataclass(frozen=True)
class ConceptRow:
    """One measure of Section 4.2 in one comparison of two sets.

    Attributes:
        comparison: Names of the two sets, e.g. ``start → maximized``.
        measure: Name of the measure, e.g. ``harmonic energy``.
        unit: Unit of the means.
        mean_before, mean_after: Means of the two sets.
        effect_size, effect_low, effect_high: Hedges' g and its interval.
        claimed_sign: Sign of the effect according to Section 4.2; 0 where it makes no claim.
    """

    comparison: str
    measure: str
    unit: str
    mean_before: float
    mean_after: float
    effect_size: float
    effect_low: float
    effect_high: float
    claimed_sign: int

    @property
    def verdict(self) -> str:
        """Whether the measurement bears out what the paper observed."""
        if not np.isfinite(self.effect_size):
            return "undefined"
        if not self.claimed_sign:
            return ""
        if self.effect_low * self.claimed_sign > 0 and self.effect_high * self.claimed_sign > 0:
            return "agrees"
        if self.effect_low * self.claimed_sign < 0 and self.effect_high * self.claimed_sign < 0:
            return "reverse"
        return "unclear"


@dataclasses.dataclass(frozen=True)
class HeardSets:
    """What a listener, another classifier, hears in the sets.

    Attributes:
        listener: Its file.
        response: What it listens for.
        bridge: What the bridge does to excerpts, in a sentence; "" without one.
        responses: (N,) its responses to each set of excerpts, by the set's name.
        transfer: How much of the real difference it hears in the examples.
    """

    listener: str
    response: str
    bridge: str
    responses: Mapping[str, np.ndarray]
    transfer: Transfer


SUFFICIENT_CORRELATION = 0.9
"""Of the response through a bridge with the exact one; below, examples may mislead."""


@dataclasses.dataclass(frozen=True)
class BridgeFacts:
    """What is known about the bridge between the generator and the classifier.

    Attributes:
        source: Name of the front end of the examples.
        target: Name of the classifier's.
        description: What it does about the lengths of excerpts, in a sentence.
        correlation: Of the response to real excerpts through the bridge with the response to the
            same excerpts without; None if it was not measured.
        num_excerpts: Number of these excerpts.
    """

    source: str
    target: str
    description: str
    correlation: float | None = None
    num_excerpts: int = 0

    def __str__(self) -> str:
        return f"bridge from {self.source} to {self.target}: {self.description}"


@dataclasses.dataclass
class ReportContent:
    """Everything a report shows.

    Attributes:
        response: Name of the response, e.g. ``logit``.
        direction: Direction of the grid: ``max`` or ``min``.
        start: The generator's output before optimization.
        configurations: One set for each row of ``ranking``, in its order.
        maximized, minimized: Examples of the best configuration in both directions, from the same
            latents as ``start``; None where there was no such run. The set that repeats the best
            configuration has its key.
        highest, lowest: The most extreme real excerpts, the most extreme first.
        real_responses: (M,) responses of all real excerpts.
        compared_responses: (K,) the real responses that the ranking compares with.
        ranking: The best first.
        warnings: Reservations about the ranking, one sentence each.
        concept: Measures of Section 4.2.
        realism: Measures of realism of each configuration, then of the real excerpts; or empty.
        correlations: Rank correlation of each measure of realism with the distance, by its name
            in `RealismRow`.
        detection: Table 3 of the explained classifier: precision, recall ..., or None.
        concept_name: What the neuron stands for, e.g. ``singing voice``.
        provenance: JSON-ready facts about how all this was made.
        measured_by: The critic and the layer that measured realism, by the name in `RealismRow`.
        distance_layer: Layer whose units the ranking compares; "" where it compares ``response``.
        heard: What a listener hears; None without one.
        bridge: What translates the examples for the classifier; None if nothing has to.
    """

    response: str
    direction: str
    start: ExampleSet
    configurations: list[ExampleSet]
    maximized: ExampleSet | None
    minimized: ExampleSet | None
    highest: ExampleSet
    lowest: ExampleSet
    real_responses: np.ndarray
    compared_responses: np.ndarray
    ranking: Sequence[RankedConfiguration]
    warnings: list[str]
    concept: list[ConceptRow]
    realism: list[RealismRow]
    correlations: dict[str, float]
    detection: dict[str, float] | None
    concept_name: str
    provenance: dict[str, Any]
    measured_by: dict[str, str | None] = dataclasses.field(default_factory=dict)
    distance_layer: str = ""
    heard: HeardSets | None = None
    bridge: BridgeFacts | None = None

    @property
    def best(self) -> ExampleSet:
        """The set of the configuration that won."""
        return self.configurations[0]

    def marked(self) -> list[ExampleSet]:
        """The best, median and worst configuration, as far as they differ."""
        return [one for one in self.configurations if one.mark in ("best", "median", "worst")]

    def all_sets(self) -> list[ExampleSet]:
        """Every set whose files a report writes, once per key."""
        searched = [one for one in (self.maximized, self.minimized) if one is not None]
        sets = [self.start, *self.configurations, *searched, self.highest, self.lowest]
        return list({one.key: one for one in sets}.values())

    def common_range(self, one: ExampleSet) -> tuple[float, float]:
        """Log-mel values of the darkest blue and red on the common scale.

        This is the range of the real excerpts, so that values that are not realistic stand out; if
        these have another front end, that of the examples before optimization.
        """
        is_like_real = one.front_end.is_like(self.highest.front_end)
        return value_range(self.highest, self.lowest) if is_like_real else value_range(self.start)


def value_range(*sets: ExampleSet) -> tuple[float, float]:
    """Nearly the range of the log-mel values of some sets."""
    values = np.concatenate([one.log_mels.ravel() for one in sets])
    low, high = np.percentile(values, [1, 99.9])
    return float(low), float(max(high, low + 1e-6))
