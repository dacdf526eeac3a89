"""From runs to a report: reads what the other stages wrote and passes it to `svdam.report`.

TensorFlow is needed only for a listener, and for the summaries at the very end.
"""

import dataclasses
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from svdam.audio.inversion import INVERSIONS
from svdam.core.files import checksum
from svdam.core.runs import Run, open_run, start_run
from svdam.core.settings import Settings, import_module_setting, setting, unsafe_model_setting
from svdam.core.summaries import Summaries, tensorboard_command
from svdam.core.validation import InputError
from svdam.datasets.labels import SING, run_labels
from svdam.evaluation.ranking import Configuration, Ranking
from svdam.report.assets import Synthesis
from svdam.report.content import BridgeFacts, ExampleSet, HeardSets, ReportContent
from svdam.report.figures import figure_4_sets
from svdam.report.pages import write_report
from svdam.results.array_files import fingerprint
from svdam.results.examples import AMResults, read_results
from svdam.results.rankings import RANKING_NAME, REALISM_NAME, read_ranking, read_realism
from svdam.results.responses import compared_responses, read_responses
from svdam.stages.listening import (
    heard_sets,
    listener_opener,
    listener_response_setting,
    listener_setting,
    require_listener_and_response,
)
from svdam.stages.report_sets import (
    clear_page,
    concept_rows,
    example_set,
    explained_concept,
    explained_label,
    grid_set,
    real_set,
    sound_synthesis,
    start_set,
)

SOUND_CHOICES = ("all", "best")


@dataclasses.dataclass(frozen=True)
class ReportSettings(Settings):
    """Settings of make_report."""

    grid: str = setting(
        "runs/grid", "Run folder of maximize_activation for the whole grid.", path=True
    )
    selection: str = setting("runs/selection", "Run folder of select_hyperparameters.", path=True)
    responses: str = setting("runs/responses", "Run folder of collect_responses.", path=True)
    maximize: str | None = setting(
        None,
        "Run folder of maximize_activation with the best configuration and --direction=max. The "
        "default is the best configuration of --grid, if that maximizes.",
        path=True,
    )
    minimize: str | None = setting(
        None,
        "Run folder of maximize_activation with the best configuration and --direction=min.",
        path=True,
    )
    evaluation: str | None = setting(
        None,
        "Run folder of evaluate_classifier, for Table 3. By default there is no Table 3.",
        path=True,
    )
    concept: str | None = setting(
        None,
        "What the explained neuron stands for, in words. The default is the label of the records "
        "or the name of the output.",
    )
    sounds: str = setting(
        "all",
        "Examples to convert to audio (75 KB and a fraction of a second each): the whole grid "
        "(all), or only those before optimization and of the best configuration (best).",
        choices=SOUND_CHOICES,
    )
    inversion: str = setting(
        "pseudo_inverse",
        "Method that maps mel bands back to linear frequency: pseudo_inverse, as in the paper, or "
        "nnls (non-negative least squares), which is slower and closer to the original.",
        choices=INVERSIONS,
    )
    momentum: float = setting(
        0.0,
        "Momentum of the Griffin-Lim algorithm: 0, as in the paper, or up to 0.999 for the fast "
        "variant, which comes closer to the original; 0.99 is usual.",
        minimum=0,
        maximum=0.999,
    )
    listener: str | None = listener_setting()
    listener_response: str | None = listener_response_setting()
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()
    output: str = setting("runs/report", "Run folder to write.", path=True, identity=False)

    def validate(self) -> None:
        """Refuses a listener without a response, or one that has nothing to compare."""
        require_listener_and_response(self.listener, self.listener_response)


def make_report(settings: ReportSettings) -> Path:
    """Writes a report of a set of runs.

    Returns:
        The page, ``index.html``.

    Raises:
        InputError: If a run is missing, or two runs do not belong together.
    """
    content = read_content(settings)
    settings = dataclasses.replace(settings, concept=content.concept_name)
    with start_run(settings.output, "make_report", settings, _inputs(settings)) as run:
        clear_page(run.folder)
        synthesis = sound_synthesis(settings.inversion, settings.momentum)
        page = write_report(run.folder, content, synthesis)
        _write_summaries(run, content, synthesis)
        run.mark_complete({"page": page.name, "examples": sum(map(len, content.configurations))})
    print(f"report: {page.resolve()}")
    print(f"figures: {page.parent / 'figures'}")
    print(f"sounds: {page.parent / 'sounds'}")
    print(f"TensorBoard: {tensorboard_command(page.parent)}")
    return page


def read_content(settings: ReportSettings) -> ReportContent:
    """Reads the runs and checks that they belong together.

    Raises:
        InputError: If a run is missing, or two runs do not belong together.
    """
    grid = read_results(settings.grid, "grid")
    real = read_responses(settings.responses, "responses")
    selection = open_run(settings.selection, "select_hyperparameters", "selection")
    summary = selection.summary()
    ranking = read_ranking(selection.folder / RANKING_NAME)
    compared = compared_responses(real, grid, ranking.num_real)
    _require_same_runs(settings, grid, compared, ranking, summary)
    start = start_set(grid)
    configurations = [grid_set(grid, row, settings.sounds) for row in ranking.rows]
    searched = _searched_sets(settings, grid, ranking.best.configuration, configurations[0])
    highest, lowest = real_set(real, "highest"), real_set(real, "lowest")
    compared_sets = {"start": start, **searched, "lowest real": lowest, "highest real": highest}
    labels = run_labels(real.provenance)
    named = settings.concept or explained_concept(grid.response, labels)
    settings = dataclasses.replace(settings, concept=named)
    claims = grid.response == "logit" and labels == SING.words  # Those of a voice detector.
    concept = concept_rows(compared_sets, claims)
    heard = _heard(settings, {"start": start, **searched, "lowest": lowest, "highest": highest})
    return ReportContent(
        response=grid.response,
        direction=grid.direction,
        start=start,
        configurations=configurations,
        **searched,
        highest=highest,
        lowest=lowest,
        real_responses=real.responses,
        compared_responses=compared,
        ranking=ranking.rows,
        warnings=list(summary.get("warnings", [])),
        concept=concept,
        realism=read_realism(selection.folder / REALISM_NAME, ranking),
        correlations={
            name.removesuffix("s"): value for name, value in summary.get("correlations", {}).items()
        },
        detection=_detection(settings.evaluation, grid, labels),
        concept_name=named,
        provenance={
            "report": settings.to_dict(),
            "grid": grid.provenance,
            "responses": real.provenance,
            "selection": selection.config,
        },
        measured_by={
            "critic_score": selection.settings["critic"],
            "nearest_distance": selection.settings["nearest_layer"],
        },
        distance_layer=ranking.layer,
        heard=heard,
        bridge=_bridge(grid),
    )


def _require_same_runs(
    settings: ReportSettings,
    grid: AMResults,
    compared: np.ndarray,
    ranking: Ranking,
    selection: dict[str, Any],
) -> None:
    """Refuses a selection that was made from other runs."""
    unknown = [row for row in ranking.rows if row.configuration not in grid.configurations]
    if unknown or selection.get("ranked") != fingerprint(grid.responses):
        raise InputError(
            "--selection: ranks examples that are not those of --grid; "
            "run select_hyperparameters on this grid"
        )
    if selection.get("compared") != fingerprint(compared):
        raise InputError(
            f"--selection: {settings.selection} was made from other --responses; "
            "run select_hyperparameters again"
        )


def _searched_sets(
    settings: ReportSettings, grid: AMResults, best: Configuration, best_set: ExampleSet
) -> dict[str, ExampleSet | None]:
    """The sets in the lower two rows of Figure 4."""
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
            results = read_results(folder, flag, make)
            _require_same_search(results, grid, best, direction, flag, folder)
            found = example_set(results, 0, name, name, name, range(len(results.seeds)))
            same = np.allclose(found.responses, best_set.responses, rtol=1e-3, atol=1e-3)
            sets[name] = best_set if same else found
        else:
            sets[name] = best_set if grid.direction == direction else None
    return sets


def _require_same_search(
    results: AMResults, grid: AMResults, best: Configuration, direction: str, flag: str, folder: str
) -> None:
    """Figure 4 compares examples of equal latents, so the runs must differ in direction only."""
    again = f"run maximize_activation with the selection's best.cfg and --direction={direction}"
    for what, value, expected in (
        ("direction", results.direction, direction),
        ("response", results.response, grid.response),
        ("configurations", results.configurations, [best]),
        ("seeds", results.seeds.tolist(), grid.seeds.tolist()),
    ):
        if value != expected:
            shown = (
                "" if len(str([value, expected])) > 200 else f": {value!r}, expected {expected!r}"
            )
            raise InputError(
                f"--{flag}: {folder} differs from --grid in its {what}{shown}; {again}"
            )
    same = results.start_examples.shape == grid.start_examples.shape and np.allclose(
        results.start_examples, grid.start_examples, rtol=1e-3, atol=1e-3
    )
    if not same:
        raise InputError(f"--{flag}: {folder} was made with another generator than --grid; {again}")
    if not np.allclose(results.start_responses, grid.start_responses, rtol=1e-3, atol=1e-2):
        raise InputError(f"--{flag}: {folder} explains another classifier than --grid; {again}")


def _bridge(grid: AMResults) -> BridgeFacts | None:
    """What the run says about the bridge that it used, if it did."""
    found = grid.provenance.get("bridge")
    return BridgeFacts(**found) if found else None


def _inputs(settings: ReportSettings) -> dict[str, str]:
    """The SHA-256 of the listener, which is the only file that is not in a run folder."""
    if settings.listener is None:
        return {}
    from svdam.models.loading import model_path

    return {"listener_sha256": checksum(model_path(settings.listener, "listener"))}


def _heard(settings: ReportSettings, sets: dict[str, ExampleSet | None]) -> HeardSets | None:
    """What the listener hears, if there is one."""
    open_for = listener_opener(
        settings.listener,
        settings.listener_response,
        settings.allow_unsafe_model,
        settings.import_module,
    )
    if open_for is None:
        return None
    found = {name: one for name, one in sets.items() if one is not None}
    for name, flag in (("maximized", "maximize"), ("minimized", "minimize")):
        if name not in found:
            raise InputError(
                f"--listener: maximized and minimized examples are compared; specify --{flag}"
            )
    heard = heard_sets(open_for, found)
    for name, values in heard.responses.items():
        found[name].measures = {**(found[name].measures or {}), "listener": values}
    return heard


def _detection(
    folder: str | None, grid: AMResults, label_names: Sequence[str]
) -> dict[str, float] | None:
    """Scores of the explained classifier; those of another one are omitted, with a warning.

    Of several labels, those of the one that is explained; of a response that is none of them, none.
    """
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
    scores, label = run.summary(), explained_label(grid.response, label_names)
    if any(isinstance(one, dict) for one in scores.values()):  # Of each label.
        return scores.get(label or "")
    return scores


def _write_summaries(run: Run, content: ReportContent, synthesis: Synthesis) -> None:
    """Writes the figures of the report and a few of its sounds for TensorBoard."""
    from PIL import Image

    with Summaries(run.tensorboard, replace=True) as summaries:
        summaries.configuration(run.config)
        for path in sorted((run.folder / "figures").glob("*.png")):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            summaries.images(f"report/{path.stem}", pixels[np.newaxis], 0)
        for name, one in figure_4_sets(content):
            sounds = synthesis.to_audio(one.log_mels[:4], front_end=one.front_end)
            summaries.audio(f"report/{name}", sounds, 0, one.front_end.sample_rate)
