"""A report as large as the paper's experiment: 27 configurations of 50 examples each.

What the page shows is made up (ridges on noise), because a browser's work does not depend on it.
"""

import itertools
from pathlib import Path

import numpy as np

from svdam.core.config import FRONT_END
from svdam.evaluation.ranking import Configuration, RankedConfiguration
from svdam.report.assets import Synthesis
from svdam.report.content import ExampleSet, ReportContent
from svdam.report.pages import write_report

GRID = tuple(
    Configuration(*one)
    for one in itertools.product((0.1, 0.01, 0.001), (0.1, 0.01, 0.001), (100, 500, 1000))
)
NUM_EXAMPLES = 50


def write_large_report(folder: Path) -> Path:
    """Writes the report; returns its page."""
    synthesis = Synthesis(lambda log_mels, front_end: log_mels[:, ::23].mean(axis=2))
    return write_report(folder, large_content(), synthesis)


def large_content() -> ReportContent:
    """27 configurations of 50 examples with all sounds, and 50 real excerpts of either kind."""
    rng = np.random.default_rng(0)
    marks = dict(zip((0, len(GRID) // 2, len(GRID) - 1), ("best", "median", "worst"), strict=True))
    configurations, ranking = [], []
    for index, configuration in enumerate(GRID):
        mark = marks.get(index, "")
        one = _examples(
            rng, f"rank{index + 1:03d}", f"#{index + 1}", 8.0 + 3 * index,
            configuration=configuration,
            mark=mark, history=rng.normal(size=(configuration.num_steps + 1, NUM_EXAMPLES)),
        )  # fmt: skip
        configurations.append(one)
        distance = 1.5 * (index + 1) ** 2
        ranking.append(
            RankedConfiguration(
                **vars(configuration), rank=index + 1, index=index, mark=mark, distance=distance,
                distance_low=0.7 * distance, distance_high=1.5 * distance,
                first_share=float(not index), mean=float(one.responses.mean()),
                variance=float(one.responses.var()),
            )
        )  # fmt: skip
    real = _examples(rng, "real-highest", "The highest", 7.0)
    return ReportContent(
        response="logit",
        direction="max",
        start=_examples(rng, "start", "before optimization", 0.0, mark="start"),
        configurations=configurations,
        maximized=configurations[0],
        minimized=_examples(rng, "minimized", "minimized", -7.0, configuration=GRID[0]),
        highest=real,
        lowest=_examples(rng, "real-lowest", "The lowest", -7.0),
        real_responses=rng.normal(0, 3, 5000),
        compared_responses=real.responses,
        ranking=ranking,
        warnings=[],
        concept=[],
        realism=[],
        correlations={},
        detection=None,
        concept_name="singing voice",
        provenance={"made": "up"},
    )


def _examples(rng, key: str, title: str, mean: float, **options) -> ExampleSet:
    """Ridges, each example's at another height."""
    shape = NUM_EXAMPLES, FRONT_END.excerpt_frames, FRONT_END.num_mels
    log_mels = rng.standard_normal(shape, np.float32) - 8
    for index, log_mel in enumerate(log_mels):
        log_mel[:, index :: max(8, index // 2)] += 5
    responses = mean + rng.normal(size=NUM_EXAMPLES)
    return ExampleSet(
        key, title, log_mels, responses, [f"seed {i}" for i in range(NUM_EXAMPLES)],
        probabilities=1 / (1 + np.exp(-responses)), log_priors=rng.normal(-180, 8, NUM_EXAMPLES),
        sounds_of=tuple(range(NUM_EXAMPLES)), **options,
    )  # fmt: skip
