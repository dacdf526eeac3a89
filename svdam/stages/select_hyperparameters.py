"""Selection of hyper-parameters from runs (Section 2.4). No TensorFlow until it writes summaries.

Ranks all configurations of a grid by the Frechet distance (eq. 3) between the responses of their
examples and the highest (lowest, when minimizing) responses of real recordings. Writes
``ranking.csv``, ``best.cfg``, which maximize_activation takes as its flagfile, and TensorBoard's
HParams metrics.
"""

import csv
import dataclasses
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from svdam.core.files import atomic_write
from svdam.core.runs import Run, open_run, start_run
from svdam.core.settings import Settings, setting, unsafe_model_setting
from svdam.core.summaries import Summaries
from svdam.core.validation import InputError
from svdam.evaluation.ranking import Ranking, rank_configurations, unusable_configurations
from svdam.explain.settings import SearchSettings
from svdam.results.files import AMResults, RealResponses, read_responses, read_results
from svdam.results.rankings import SETTING_COLUMNS, format_ranking, write_ranking

REALISM_NAME = "realism.csv"
_METRICS = {
    "distance": "distance (eq. 3)",
    "rank": "rank",
    "first_share": "comes first",
    "mean": "mean response",
    "variance": "variance",
}
"""Columns of the HParams dashboard."""


@dataclasses.dataclass(frozen=True)
class SelectionSettings(Settings):
    """Settings of select_hyperparameters."""

    grid: str = setting("runs/grid", "Run folder of maximize_activation over a grid.", path=True)
    responses: str = setting("runs/responses", "Run folder of collect_responses.", path=True)
    output: str = setting("runs/selection", "Run folder to write.", path=True, identity=False)
    num_real: int = setting(
        0,
        "How many of the highest (lowest) real responses to compare with; 0: as many as a "
        "configuration has examples, as the paper.",
        minimum=0,
    )
    num_resamples: int = setting(2000, "Bootstrap resamples.", minimum=100, maximum=100_000)
    confidence: float = setting(0.95, "Of the bootstrap intervals.", minimum=0.5, maximum=0.999)
    seed: int = setting(0, "Of the bootstrap.", minimum=0)
    drop_unusable: bool = setting(
        False,
        "Leave out configurations whose responses are constant or not finite, with a warning, "
        "instead of refusing them.",
    )
    distance_layer: str | None = setting(
        None,
        "Layer of the classifier, as fc2: compares the activations of all its units (eq. 3 in its "
        "multivariate form) instead of the scalar response. Left out by default.",
    )
    critic: str | None = setting(
        None,
        "A critic's .keras file or a run folder of train_gan: adds the critic's score of the "
        "examples to compare the ranking with. Left out by default.",
        path=True,
    )
    nearest_layer: str | None = setting(
        None,
        "Layer of the classifier, as fc2: adds the distance of the examples to the nearest real "
        "excerpt in its activations. Left out by default.",
    )
    allow_unsafe_model: bool = unsafe_model_setting()


def select_hyperparameters(
    settings: SelectionSettings,
    realism: Callable[[np.ndarray], Any] | None = None,
    activations: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Ranking:
    """Ranks the grid and writes the selection's run folder.

    Args:
        settings: What to rank, and how.
        realism: From the ranked examples (C, N, frames, mels, 1) to their
            `svdam.explain.realism.Realism`; None to leave it out.
        activations: From excerpts (N, frames, mels, 1) to the units (N, n) of
            ``settings.distance_layer``; needed with it.

    Returns:
        The ranking.

    Raises:
        InputError: If a run is missing, the runs measure different responses, or configurations
            cannot be ranked.
    """
    grid_run = open_run(settings.grid, "maximize_activation", "grid")
    results = read_results(settings.grid, "grid")
    responses_run = open_run(settings.responses, "collect_responses", "responses")
    _require_same_classifier(grid_run, responses_run)
    responses = read_responses(settings.responses, "responses")
    real = extreme_responses(responses, results, settings.num_real)
    kept = _kept_configurations(results, settings.drop_unusable)
    grid = [dataclasses.astuple(results.configurations[index]) for index in kept]
    compared = results.responses[kept], real
    if settings.distance_layer:
        compared = _layer_responses(responses, results, kept, len(real), activations)
    ranking = rank_configurations(
        *compared,
        [str(results.configurations[index]) for index in kept],
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    if settings.distance_layer:
        ranking = _with_scalar_moments(
            ranking, results.responses[kept], real, settings.distance_layer
        )
    with start_run(settings.output, "select_hyperparameters", settings) as run:
        write_ranking(run.folder / "ranking.csv", ranking, grid)
        output = Path(settings.grid).parent / ("am" if results.direction == "max" else "am_min")
        with atomic_write(run.folder / "best.cfg") as stream:
            stream.write(best_flagfile(grid_run.settings, grid[ranking.best.index], output))
        table = format_ranking(ranking, grid)
        measured = None
        if realism is not None:
            measured = realism(results.examples[kept])
            _write_realism(run.folder / REALISM_NAME, ranking, measured, grid)
        _write_summaries(run.folder / "tensorboard", ranking, grid, table)
        run.mark_complete(
            {
                "best": dict(zip(SETTING_COLUMNS, grid[ranking.best.index], strict=True)),
                "distance": ranking.best.distance,
                "ahead_share": ranking.ahead_share,
                "warnings": list(ranking.warnings),
                "correlations": _correlations(ranking, measured),
            }
        )
    _report(ranking, table, run.folder, _correlations(ranking, measured))
    return ranking


def extreme_responses(real: RealResponses, results: AMResults, count: int = 0) -> np.ndarray:
    """The real responses that a grid is compared with.

    Args:
        real: Responses of all real excerpts.
        results: The grid; its direction decides between the highest and the lowest.
        count: How many; 0 for as many as the grid has examples of a configuration.

    Returns:
        (count,) responses, the most extreme first; fewer if there are not as many excerpts.

    Raises:
        InputError: If the two measured different responses.
    """
    if real.response != results.response:
        raise InputError(
            f"--responses: holds the response {real.response!r}, --grid was made for "
            f"{results.response!r}; run collect_responses with --response={results.response}"
        )
    sign = -1 if results.direction == "max" else 1
    return np.sort(sign * real.responses)[: count or results.responses.shape[1]] * sign


def _layer_responses(
    responses: RealResponses,
    results: AMResults,
    kept: list[int],
    count: int,
    activations: Callable[[np.ndarray], np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Units (C, N, n) of the examples and (count, n) of the most extreme real excerpts."""
    if activations is None:
        raise ValueError("activations: needed with distance_layer")
    top = responses.highest if results.direction == "max" else responses.lowest
    if len(top.excerpts) < count:
        raise InputError(
            f"--distance_layer: compares with {count} real excerpts, but --responses keeps "
            f"{len(top.excerpts)}; run collect_responses with --top_n={count}, or use "
            f"--num_real={len(top.excerpts)}"
        )
    examples = results.examples[kept]
    units = activations(examples.reshape(-1, *examples.shape[2:]))
    real = activations(top.excerpts[:count, ..., np.newaxis])
    return units.reshape(*examples.shape[:2], -1), real


def _with_scalar_moments(
    ranking: Ranking, generated: np.ndarray, real: np.ndarray, layer: str
) -> Ranking:
    """The ranking with mean and variance of the scalar responses, which people can read."""
    rows = tuple(
        dataclasses.replace(
            row,
            mean=float(generated[row.index].mean()),
            variance=float(generated[row.index].var(ddof=1)),
        )
        for row in ranking.rows
    )
    return dataclasses.replace(
        ranking,
        rows=rows,
        real_mean=float(real.mean()),
        real_variance=float(real.var(ddof=1)),
        layer=layer,
    )


def best_flagfile(grid_settings: dict[str, Any], best: tuple, output: Path) -> str:
    """Text of the flagfile with which maximize_activation runs the best configuration.

    Args:
        grid_settings: All settings of the grid's run.
        best: Learning rate, prior weight and steps.
        output: Run folder to name in it.
    """
    names = ("learning_rates", "prior_weights", "num_steps")
    chosen = {name: (value,) for name, value in zip(names, best, strict=True)}
    known = {field.name for field in dataclasses.fields(SearchSettings)}
    kept = {name: value for name, value in grid_settings.items() if name in known}
    settings = SearchSettings(**{**kept, **chosen, "output": str(output)})
    return (
        "# The best configuration by eq. 3; a flagfile for maximize_activation.\n"
        "# The opposite examples: add --direction=min (max) and another --output.\n"
        + settings.to_flagfile()
    )


def _require_same_classifier(grid_run: Run, responses_run: Run) -> None:
    """Responses of two classifiers cannot be compared."""
    key = "classifier_sha256"
    checksums = [run.config["inputs"].get(key) for run in (grid_run, responses_run)]
    if None not in checksums and checksums[0] != checksums[1]:
        raise InputError(
            f"--responses: {responses_run.folder} was measured with another classifier "
            f"({responses_run.settings.get('classifier')}) than --grid "
            f"({grid_run.settings.get('classifier')}); run collect_responses with the grid's"
        )


def _correlations(ranking: Ranking, measured: Any) -> dict[str, float]:
    if measured is None:
        return {}
    distances = {row.index: row.distance for row in ranking.rows}
    return measured.correlations([distances[index] for index in range(len(distances))])


def _write_realism(path: Path, ranking: Ranking, measured: Any, grid: list[tuple]) -> None:
    """Writes ``realism.csv``: a row for each configuration, the best first, and one for real."""
    names = ("critic_scores", "nearest_distances")
    columns = {name: getattr(measured, name) for name in names}
    real = (measured.real_critic_score, measured.real_nearest_distance)
    with atomic_write(path) as stream:
        writer = csv.writer(stream)
        writer.writerow(["rank", *SETTING_COLUMNS, "distance", *names])
        for row in ranking.rows:
            values = ["" if c is None else float(c[row.index]) for c in columns.values()]
            writer.writerow([row.rank, *grid[row.index], row.distance, *values])
        writer.writerow(["real", "", "", "", "", *("" if v is None else v for v in real)])


def _kept_configurations(results: AMResults, drop_unusable: bool) -> list[int]:
    names = list(map(str, results.configurations))
    unusable = unusable_configurations(results.responses, names) if drop_unusable else {}
    for problem in unusable.values():
        print(f"warning: left out of the ranking: {problem}", file=sys.stderr)
    kept = [index for index in range(len(names)) if index not in unusable]
    if not kept:
        raise InputError("--grid: no configuration is left to rank; see the warnings above")
    return kept


def _write_summaries(folder: Path, ranking: Ranking, grid: list[tuple], table: str) -> None:
    """One row of the HParams dashboard for each configuration, and the table as text."""
    shutil.rmtree(folder, ignore_errors=True)  # Events of an earlier run would be shown twice.
    with Summaries(folder) as summaries:
        summaries.text("selection/ranking", f"```\n{table}\n```")
        summaries.hparams_columns(
            {name: name.replace("_", " ") for name in SETTING_COLUMNS},
            {f"selection/{metric}": name for metric, name in _METRICS.items()},
        )
    for row in ranking.rows:
        name = "rate={:g},lambda={:g},steps={}".format(*grid[row.index])
        with Summaries(folder / name) as summaries:
            summaries.hparams(
                dict(zip(SETTING_COLUMNS, grid[row.index], strict=True)),
                {f"selection/{metric}": getattr(row, metric) for metric in _METRICS},
            )


def _report(ranking: Ranking, table: str, folder: Path, correlations: dict[str, float]) -> None:
    print(table)
    for warning in ranking.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for name, value in correlations.items():
        print(f"rank correlation of the distance with {name.replace('_', ' ')}: {value:+.2f}")
    best = shlex.quote(str(folder / "best.cfg"))
    print(f"ranking: {folder / 'ranking.csv'}")
    print(f"run the best: python -m svdam.maximize_activation --flagfile={best}")
