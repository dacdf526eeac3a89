"""From runs to a report: reads what the stages wrote and hands it to `svdam.report`.

No TensorFlow, except for the summaries at the very end.
"""

import csv
import dataclasses
import functools
import shlex
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from svdam.audio.inversion import (
    GRIFFIN_LIM_ITERATIONS,
    INVERSIONS,
    log_mels_to_audio,
    round_trip_error_db,
)
from svdam.core.config import FRONT_END
from svdam.core.runs import Run, open_run, start_run
from svdam.core.settings import Settings, setting
from svdam.core.summaries import Summaries
from svdam.core.validation import InputError
from svdam.evaluation.ranking import Ranking
from svdam.report.assets import Synthesis
from svdam.report.content import (
    ExampleSet,
    RankingRow,
    RealismRow,
    ReportContent,
    SpectrogramAxes,
)
from svdam.report.figures import figure_4_sets
from svdam.report.pages import write_real_page, write_report
from svdam.results.files import (
    AMResults,
    RealResponses,
    read_responses,
    read_results,
)
from svdam.results.rankings import read_ranking
from svdam.stages.report_sets import (
    concept_rows,
    example_set,
    grid_set,
    real_set,
    start_set,
)
from svdam.stages.select_hyperparameters import REALISM_NAME, extreme_responses

SOUND_CHOICES = ("all", "best")


@dataclasses.dataclass(frozen=True)
class ReportSettings(Settings):
    """Settings of make_report."""

    grid: str = setting("runs/grid", "Run folder of maximize_activation over the grid.", path=True)
    selection: str = setting("runs/selection", "Run folder of select_hyperparameters.", path=True)
    responses: str = setting("runs/responses", "Run folder of collect_responses.", path=True)
    maximize: str | None = setting(
        None,
        "Run folder of maximize_activation with the best configuration and --direction=max; by "
        "default the best configuration of a --grid that maximizes.",
        path=True,
    )
    minimize: str | None = setting(
        None,
        "Run folder of maximize_activation with the best configuration and --direction=min.",
        path=True,
    )
    evaluation: str | None = setting(
        None, "Run folder of evaluate_classifier, for Table 3; left out by default.", path=True
    )
    concept: str = setting("singing voice", "What the explained neuron stands for, in words.")
    sounds: str = setting(
        "all",
        "Sounds of all examples of the grid (75 KB and a fraction of a second each), or of the "
        "starting, maximized and minimized sets only (best).",
        choices=SOUND_CHOICES,
    )
    inversion: str = setting(
        "pseudo_inverse",
        "From mel bands back to linear frequency: pseudo_inverse as the paper, or nnls "
        "(non-negative least squares), slower and closer to the original.",
        choices=INVERSIONS,
    )
    momentum: float = setting(
        0.0,
        "Of Griffin-Lim: 0 as the paper; 0.99 is the fast variant, which comes closer.",
        minimum=0,
        maximum=0.999,
    )
    output: str = setting("runs/report", "Run folder to write.", path=True, identity=False)


def make_report(settings: ReportSettings) -> Path:
    """Writes the report of a set of runs.

    Returns:
        The page, ``index.html``.

    Raises:
        InputError: If a run is missing, or two runs do not belong together.
    """
    content = read_content(settings)
    with start_run(settings.output, "make_report", settings) as run:
        for name in ("figures", "images", "sounds"):  # Nothing of an earlier report is left over.
            shutil.rmtree(run.folder / name, ignore_errors=True)
        synthesis = sound_synthesis(settings.inversion, settings.momentum)
        page = write_report(run.folder, content, synthesis)
        _write_summaries(run, content, synthesis)
        run.mark_complete({"page": page.name, "examples": sum(map(len, content.configurations))})
    return page


def read_content(settings: ReportSettings) -> ReportContent:
    """Reads the runs and checks that they belong together.

    Raises:
        InputError: If a run is missing, or two runs do not belong together.
    """
    grid = read_results(settings.grid, "grid")
    real = read_responses(settings.responses, "responses")
    selection = open_run(settings.selection, "select_hyperparameters", "selection")
    ranking, values = read_ranking(selection.folder / "ranking.csv")
    positions = _positions(grid, ranking, values)
    compared = extreme_responses(real, grid, ranking.num_real)
    if not np.isclose(compared.mean(), ranking.real_mean, rtol=1e-4, atol=1e-4):
        raise InputError(
            f"--selection: {settings.selection} was made with other --responses (mean "
            f"{ranking.real_mean:.6g}, now {compared.mean():.6g}); run select_hyperparameters anew"
        )
    start = start_set(grid)
    configurations = [
        grid_set(grid, position, row.rank, row.mark, settings.sounds)
        for position, row in zip(positions, ranking.rows, strict=True)
    ]
    searched = _searched_sets(settings, grid, values[ranking.best.index], configurations[0])
    highest, lowest = real_set(real, real.highest, "highest"), real_set(real, real.lowest, "lowest")
    compared_sets = {"start": start, **searched, "lowest real": lowest, "highest real": highest}
    return ReportContent(
        response=grid.response,
        direction=grid.direction,
        axes=SpectrogramAxes.of(),
        start=start,
        configurations=configurations,
        **searched,
        highest=highest,
        lowest=lowest,
        real_responses=real.responses,
        compared_responses=compared,
        ranking=[_ranking_row(row, values[row.index]) for row in ranking.rows],
        warnings=list(selection.summary().get("warnings", [])),
        concept=concept_rows(compared_sets, claims=grid.response == "logit"),
        realism=_realism_rows(selection.folder / REALISM_NAME, ranking),
        correlations={
            name.removesuffix("s"): value
            for name, value in selection.summary().get("correlations", {}).items()
        },
        detection=_detection(settings.evaluation, grid),
        concept_name=settings.concept,
        provenance=_provenance(settings, grid, real, selection),
        measured_by={
            "critic_score": selection.settings["critic"],
            "nearest_distance": selection.settings["nearest_layer"],
        },
        distance_layer=ranking.layer,
    )


def _positions(grid: AMResults, ranking: Ranking, values: dict[int, tuple]) -> list[int]:
    """Position in the grid of each ranked configuration, the best first."""
    known = {dataclasses.astuple(one): index for index, one in enumerate(grid.configurations)}
    positions = []
    for row in ranking.rows:
        position = known.get(values[row.index])
        if position is None or not np.isclose(
            grid.responses[position].mean(), row.mean, rtol=1e-4, atol=1e-4
        ):
            raise InputError(
                f"--selection: ranks {row.name}, which --grid does not hold with these responses; "
                "run select_hyperparameters on this grid"
            )
        positions.append(position)
    return positions


def _searched_sets(
    settings: ReportSettings, grid: AMResults, best: tuple, best_set: ExampleSet
) -> dict[str, ExampleSet | None]:
    """The sets of Figure 4's rows below the start."""
    sets: dict[str, ExampleSet | None] = {}
    runs = (("maximize", settings.maximize, "max"), ("minimize", settings.minimize, "min"))
    for flag, folder, direction in runs:
        name = f"{flag}d"
        if folder:
            flagfile = shlex.quote(str(Path(settings.selection) / "best.cfg"))
            make = (
                f"python -m svdam.maximize_activation --flagfile={flagfile} "
                f"--direction={direction} --output={shlex.quote(folder)}"
            )
            open_run(folder, "maximize_activation", flag, make)
            results = read_results(folder, flag)
            _require_same_search(results, grid, best, direction, flag, folder)
            found = example_set(results, 0, name, name, name, range(len(results.seeds)))
            same = np.allclose(found.responses, best_set.responses, rtol=1e-3, atol=1e-3)
            sets[name] = best_set if same else found
        else:
            sets[name] = best_set if grid.direction == direction else None
    return sets


def _require_same_search(
    results: AMResults, grid: AMResults, best: tuple, direction: str, flag: str, folder: str
) -> None:
    """Figure 4 compares latent by latent, so that runs must agree in all but the direction."""
    found = [dataclasses.astuple(one) for one in results.configurations]
    again = f"run maximize_activation with the selection's best.cfg and --direction={direction}"
    for what, value, expected in (
        ("direction", results.direction, direction),
        ("response", results.response, grid.response),
        ("configurations", found, [best]),
        ("seeds", results.seeds.tolist(), grid.seeds.tolist()),
    ):
        if value != expected:
            shown = (
                "" if len(str([value, expected])) > 200 else f" {value!r}, expected {expected!r}"
            )
            raise InputError(f"--{flag}: {folder} has other {what} than --grid:{shown}; {again}")
    same = results.start_examples.shape == grid.start_examples.shape and np.allclose(
        results.start_examples, grid.start_examples, rtol=1e-3, atol=1e-3
    )
    if not same:
        raise InputError(f"--{flag}: {folder} was made with another generator than --grid; {again}")
    if not np.allclose(results.start_responses, grid.start_responses, rtol=1e-3, atol=1e-2):
        raise InputError(f"--{flag}: {folder} explains another classifier than --grid; {again}")


def _ranking_row(row: Any, values: tuple) -> RankingRow:
    shared = {field.name for field in dataclasses.fields(RankingRow)} & vars(row).keys()
    rate, weight, steps = values
    return RankingRow(
        learning_rate=rate,
        prior_weight=weight,
        num_steps=steps,
        **{name: getattr(row, name) for name in shared},
    )


def _realism_rows(path: Path, ranking: Ranking) -> list[RealismRow]:
    """What select_hyperparameters wrote about realism; nothing where it was not asked to."""
    if not path.exists():
        return []
    marks = {str(row.rank): row.mark for row in ranking.rows}
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            RealismRow(
                name=record["rank"],
                mark=marks.get(record["rank"], ""),
                distance=_number_or_none(record["distance"]),
                critic_score=_number_or_none(record["critic_scores"]),
                nearest_distance=_number_or_none(record["nearest_distances"]),
            )
            for record in csv.DictReader(stream)
        ]


def _number_or_none(text: str) -> float | None:
    return float(text) if text else None


def _detection(folder: str | None, grid: AMResults) -> dict[str, float] | None:
    """Scores of the explained classifier; those of another one are left out with a warning."""
    if not folder:
        return None
    run = open_run(folder, "evaluate_classifier", "evaluation")
    scored, explained = (
        config.get("inputs", {}).get("classifier_sha256")
        for config in (run.config, grid.provenance)
    )
    if scored and explained and scored != explained:
        warnings.warn(
            f"--evaluation: {folder} scored another classifier ({run.settings['classifier']}) than "
            f"--grid explains ({grid.provenance['settings']['classifier']}); Table 3 is left out",
            stacklevel=2,
        )
        return None
    return run.summary()


def _provenance(
    settings: ReportSettings, grid: AMResults, real: RealResponses, selection: Run
) -> dict[str, Any]:
    return {
        "report": settings.to_dict(),
        "grid": grid.provenance,
        "responses": real.provenance,
        "selection": selection.config,
    }


def write_responses_page(folder: Path, real: RealResponses) -> Path:
    """Writes the page of collect_responses: the most extreme real excerpts with their sounds."""
    for name in ("figures", "images", "sounds"):  # Nothing of an earlier run is left over.
        shutil.rmtree(folder / name, ignore_errors=True)
    return write_real_page(
        folder,
        real_set(real, real.highest, "highest"),
        real_set(real, real.lowest, "lowest"),
        real.responses,
        real.response,
        SpectrogramAxes.of(),
        sound_synthesis(),
        real.provenance,
    )


def sound_synthesis(inversion: str = "pseudo_inverse", momentum: float = 0.0) -> Synthesis:
    """How a page's sounds are made; see `svdam.audio.inversion.log_mels_to_audio`."""
    ways = {
        "pseudo_inverse": "the filterbank's pseudo-inverse",
        "nnls": "non-negative least squares",
    }
    algorithm = f"the fast Griffin-Lim algorithm (momentum {momentum:g})"
    return Synthesis(
        functools.partial(log_mels_to_audio, inversion=inversion, momentum=momentum),
        FRONT_END.sample_rate,
        round_trip_error_db,
        f"Sounds are made by {ways[inversion]} and {GRIFFIN_LIM_ITERATIONS} iterations of "
        f"{algorithm if momentum else 'Griffin and Lim'}.",
    )


def _write_summaries(run: Run, content: ReportContent, synthesis: Synthesis) -> None:
    """The report's figures and a few of its sounds, for TensorBoard."""
    from PIL import Image

    folder = run.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    with Summaries(folder) as summaries:
        summaries.configuration(run.config)
        for path in sorted((run.folder / "figures").glob("*.png")):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            summaries.images(f"report/{path.stem}", pixels[np.newaxis], 0)
        for name, one in figure_4_sets(content):
            summaries.audio(f"report/{name}", synthesis.to_audio(one.log_mels[:4]), 0)
