"""A small synthetic report, with a song whose name must not be taken for HTML."""

import numpy as np
import pytest

from svdam.core.drawing import SpectrogramAxes
from svdam.evaluation.ranking import Configuration, RankedConfiguration
from svdam.evaluation.transfer import measure_transfer
from svdam.report.content import (
    ConceptRow,
    ExampleSet,
    HeardSets,
    RealismRow,
    ReportContent,
)

EVIL = "<script>alert(1)</script> & \"friends\" 'live'/..%2f.mp3"
FRAMES, BANDS = 20, 80
HEARD = {
    name: mean + np.linspace(-0.1, 0.1, 5)
    for name, mean in {
        "start": 0.3, "minimized": 0.25, "maximized": 0.5, "lowest": 0.1, "highest": 0.6
    }.items()
}  # fmt: skip


def make_set(key, mean, count=5, **options):
    """Examples that are a ridge at another height each."""
    rng = np.random.default_rng(len(key))
    log_mels = rng.normal(-6, 1, size=(count, FRAMES, BANDS))
    log_mels[:, :, 20:24] += 4
    responses = mean + rng.normal(size=count)
    options.setdefault("labels", [f"seed {index}" for index in range(count)])
    return ExampleSet(key, f"set {key}", log_mels, responses, **options)


@pytest.fixture
def axes():
    return SpectrogramAxes.of()


@pytest.fixture
def content():
    means = [5.0, 3.0, 40.0]
    configurations, ranking = [], []
    for rank, (mean, mark) in enumerate(zip(means, ("best", "median", "worst"), strict=True), 1):
        configuration = Configuration(10.0**-rank, 0.1, 100 * rank)
        one = make_set(
            f"rank{rank:03d}", mean, mark=mark, configuration=configuration,
            log_priors=np.full(5, -180.0),
            probabilities=np.full(5, 0.9), history=np.linspace(0, mean, 11)[:, None] * np.ones(5),
            sounds_of=(0, 1) if rank > 1 else tuple(range(5)),
        )  # fmt: skip
        configurations.append(one)
        ranking.append(
            RankedConfiguration(
                **vars(configuration), rank=rank, index=rank - 1, mark=mark, distance=rank**2,
                distance_low=0.5 * rank**2, distance_high=2 * rank**2,
                first_share=float(rank == 1), mean=float(one.responses.mean()), variance=1.0,
            )
        )  # fmt: skip
    configurations[0].measures = {"transients": np.arange(5.0)}
    songs = [EVIL, "plain", "Ærøskøbing"]
    return ReportContent(
        response="logit",
        direction="max",
        start=make_set("start", 0.0, probabilities=np.full(5, 0.5), sounds_of=tuple(range(5))),
        configurations=configurations,
        maximized=configurations[0],
        minimized=make_set("minimized", -6.0, configuration=Configuration(0.1, 0.1, 100),
                           sounds_of=tuple(range(5))),
        highest=make_set("real-highest", 6.0, 3, labels=songs, sounds_of=(0, 1, 2)),
        lowest=make_set("real-lowest", -6.0, 3, labels=songs, sounds_of=(0, 1, 2)),
        real_responses=np.random.default_rng(0).normal(-1, 3, 500),
        compared_responses=np.array([5.0, 6.0, 7.0, 6.5, 5.5]),
        ranking=ranking,
        warnings=["N = 5 is too small <really>"],
        concept=[
            ConceptRow("start → maximized", "transients", "dB/s", 30, 20, -0.8, -1.2, -0.3, -1)
        ],
        realism=[RealismRow("1", "best", 1.0, 2.5, 3.5), RealismRow("real", "", None, 2.0, 3.0)],
        correlations={"nearest_distance": 0.75},
        heard=HeardSets(
            "taggers/mine.keras", "sigmoid(tags:vocal)", "The classifier gets all frames.",
            HEARD, measure_transfer(HEARD, num_resamples=20),
        ),
        detection={"threshold": 0.5, "precision": 0.9, "recall": 0.8, "specificity": 0.7,
                   "f1": 0.6, "error": 0.123, "auroc": None},
        concept_name="singing voice",
        measured_by={"critic_score": "critics/mine.keras", "nearest_distance": "fc2"},
        provenance={"grid": {"seed": 1, "note": EVIL}},
    )  # fmt: skip
