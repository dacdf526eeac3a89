"""Selection of hyper-parameters from runs (Section 2.4). No TensorFlow until it writes summaries.

Ranks all configurations of a grid by the Frechet distance (eq. 3) between the responses of their
examples and the highest (lowest, when minimizing) responses of real recordings. Writes
``ranking.csv``, ``best.cfg``, which maximize_activation takes as its flagfile, and TensorBoard's
HParams metrics.
"""

import dataclasses
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from svdam.core.files import atomic_write
from svdam.core.runs import open_run, start_run
from svdam.core.settings import Settings, setting
from svdam.core.summaries import Summaries
from svdam.core.validation import InputError
from svdam.evaluation.ranking_table import SETTING_COLUMNS, format_ranking, write_ranking
from svdam.evaluation.selection import Ranking, rank_configurations, unusable_configurations
from svdam.explain.results import AMResults, RealResponses, read_responses, read_results


@dataclasses.dataclass(frozen=True)
class SelectionSettings(Settings):
    """Settings of select_hyperparameters."""

    grid: str = setting("runs/grid", "Run folder of maximize_activation over a grid.")
    responses: str = setting("runs/responses", "Run folder of collect_responses.")
    output: str = setting("runs/selection", "Run folder to write.", identity=False)
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


def select_hyperparameters(settings: SelectionSettings) -> Ranking:
    """Ranks the grid and writes the selection's run folder.

    Raises:
        InputError: If a run is missing, the runs measure different responses, or configurations
            cannot be ranked.
    """
    grid_run = open_run(settings.grid, "maximize_activation", "grid")
    results = read_results(settings.grid, "grid")
    real = extreme_responses(
        read_responses(settings.responses, "responses"), results, settings.num_real
    )
    kept = _kept_configurations(results, settings.drop_unusable)
    grid = [dataclasses.astuple(results.configurations[index]) for index in kept]
    ranking = rank_configurations(
        results.responses[kept],
        real,
        [str(results.configurations[index]) for index in kept],
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    with start_run(settings.output, "select_hyperparameters", settings) as run:
        write_ranking(run.folder / "ranking.csv", ranking, grid)
        output = Path(settings.grid).parent / ("am" if results.direction == "max" else "am_min")
        with atomic_write(run.folder / "best.cfg") as stream:
            stream.write(best_flagfile(grid_run.settings, grid[ranking.best.index], output))
        table = format_ranking(ranking, grid)
        _write_summaries(run.folder / "tensorboard", ranking, grid, table)
        run.mark_complete(
            {
                "best": dict(zip(SETTING_COLUMNS, grid[ranking.best.index], strict=True)),
                "distance": ranking.best.distance,
                "ahead_share": ranking.ahead_share,
                "warnings": list(ranking.warnings),
            }
        )
    _report(ranking, table, run.folder)
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


def best_flagfile(grid_settings: dict[str, Any], best: tuple, output: Path) -> str:
    """Text of the flagfile with which maximize_activation runs the best configuration.

    Args:
        grid_settings: All settings of the grid's run.
        best: Learning rate, prior weight and steps.
        output: Run folder to name in it.
    """
    chosen = dict(zip(("learning_rates", "prior_weights", "num_steps"), best, strict=True))
    lines = [
        "# The best configuration by eq. 3; a flagfile for maximize_activation.",
        "# The opposite examples: add --direction=min (max) and another --output.",
    ]
    for name, value in {**grid_settings, **chosen, "output": str(output)}.items():
        if isinstance(value, (list, tuple)):
            value = ",".join(map(str, value))
        if value is not None:
            lines.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
    return "\n".join(lines) + "\n"


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
    for row in ranking.rows:
        name = "rate={:g},lambda={:g},steps={}".format(*grid[row.index])
        with Summaries(folder / name) as summaries:
            summaries.hparams(
                dict(zip(SETTING_COLUMNS, grid[row.index], strict=True)),
                {
                    f"selection/{metric}": getattr(row, metric)
                    for metric in ("distance", "rank", "first_share", "mean", "variance")
                },
            )


def _report(ranking: Ranking, table: str, folder: Path) -> None:
    print(table)
    for warning in ranking.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    best = shlex.quote(str(folder / "best.cfg"))
    print(f"ranking: {folder / 'ranking.csv'}")
    print(f"run the best: python -m svdam.maximize_activation --flagfile={best}")
