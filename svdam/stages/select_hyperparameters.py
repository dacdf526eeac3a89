"""Selection of the hyper-parameters (Section 2.4), without TensorFlow unless models are asked for.

Ranks all configurations of a grid by the Frechet distance (eq. 3) between the responses of their
examples and the highest (lowest, when minimizing) responses of real recordings. Writes
``ranking.csv``, ``best.cfg``, which maximize_activation takes as its flagfile, and summaries.
"""

import dataclasses
import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from svdam.core.files import atomic_write
from svdam.core.progress import progress
from svdam.core.runs import Run, start_run
from svdam.core.settings import Settings, import_module_setting, setting, unsafe_model_setting
from svdam.core.summaries import Summaries
from svdam.core.validation import InputError
from svdam.evaluation.ranking import (
    Configuration,
    Ranking,
    rank_configurations,
    unusable_configurations,
)
from svdam.evaluation.realism import Realism, measure_realism
from svdam.results.array_files import fingerprint
from svdam.results.examples import AMResults, read_results
from svdam.results.model_cards import read_model_card
from svdam.results.rankings import (
    RANKING_NAME,
    REALISM_NAME,
    format_ranking,
    write_ranking,
    write_realism,
)
from svdam.results.responses import RealResponses, compared_responses, read_responses
from svdam.stages.front_ends import listed_front_ends
from svdam.stages.inputs import input_records
from svdam.stages.maximize_activation import SearchSettings

ExcerptFunction = Callable[[np.ndarray], np.ndarray]
"""From (N, frames, mels, 1) excerpts to what is measured of each."""


class Measures(NamedTuple):
    """The same measure of examples and of real excerpts, which may have two front ends."""

    of_examples: ExcerptFunction
    of_real: ExcerptFunction


_BATCH = 64  # Real excerpts that are measured at once.
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

    grid: str = setting("runs/grid", "Run folder of maximize_activation with a grid.", path=True)
    responses: str = setting("runs/responses", "Run folder of collect_responses.", path=True)
    output: str = setting("runs/selection", "Run folder to write.", path=True, identity=False)
    num_real: int = setting(
        0,
        "Number of highest (or lowest) real responses to compare with; 0 for as many as a "
        "configuration has examples, as in the paper.",
        minimum=0,
    )
    num_resamples: int = setting(
        2000, "Number of bootstrap resamples.", minimum=100, maximum=100_000
    )
    confidence: float = setting(
        0.95, "Confidence level of the bootstrap intervals.", minimum=0.5, maximum=0.999
    )
    seed: int = setting(0, "Random seed of the bootstrap.", minimum=0)
    drop_unusable: bool = setting(
        False,
        "Leave out configurations whose responses are constant or not finite, with a warning "
        "instead of an error.",
    )
    distance_layer: str | None = setting(
        None,
        "Layer of the classifier, e.g. fc2, whose activations are compared (multivariate form "
        "of eq. 3) instead of the scalar response. By default, the response is compared.",
    )
    critic: str | None = setting(
        None,
        "Critic: a .keras file or a run folder of train_gan. Adds the critic's scores of the "
        "examples, for comparison with the ranking. By default, there is none.",
        path=True,
    )
    nearest_layer: str | None = setting(
        None,
        "Layer of the classifier, e.g. fc2. Adds the distance of the examples to the nearest "
        "real excerpt in its activations. By default, there is none.",
    )
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()


def select_hyperparameters(settings: SelectionSettings) -> Ranking:
    """Ranks the grid and writes the selection's run folder.

    Raises:
        InputError: If a run is missing, the runs measure different responses, or configurations
            cannot be ranked.
    """
    results = read_results(settings.grid, "grid")
    real = read_responses(settings.responses, "responses")
    compared = compared_responses(real, results, settings.num_real)
    grid_run, real_run = _runs(results, real)
    kept = _kept_configurations(results, settings.drop_unusable)
    units = _layers(settings, real_run, results, real)
    measures = {}
    if settings.critic:
        measures["scores"] = _critic(settings, results, real)
    if settings.nearest_layer:
        measures["units"] = units["nearest_layer"]
    ranking = _ranked(settings, results, real, compared, kept, units.get("distance_layer"))
    output = Path(settings.grid).parent / ("am" if results.direction == "max" else "am_min")
    with start_run(settings.output, "select_hyperparameters", settings) as run:
        write_ranking(run.folder / RANKING_NAME, ranking)
        with atomic_write(run.folder / "best.cfg") as stream:
            best = ranking.best.configuration
            stream.write(best_flagfile(grid_run.settings, best, output))
        correlations = {}
        if measures:
            measured = _realism(measures, results.examples[kept], real_run)
            by_index = sorted(ranking.rows, key=lambda row: row.index)
            correlations = measured.correlations([row.distance for row in by_index])
            write_realism(run.folder / REALISM_NAME, ranking, measured)
        table = format_ranking(ranking)
        _write_summaries(run, ranking, table)
        run.mark_complete(
            {
                "best": vars(best),
                "distance": ranking.best.distance,
                "ahead_share": ranking.ahead_share,
                "warnings": list(ranking.warnings),
                "correlations": correlations,
                "ranked": fingerprint(results.responses),
                "compared": fingerprint(compared),
            }
        )
    _report(ranking, table, run.folder, correlations)
    return ranking


def _runs(results: AMResults, real: RealResponses) -> tuple[Run, Run]:
    """The runs; responses of two classifiers cannot be compared."""
    grid_run, real_run = results.run, real.run
    assert grid_run is not None and real_run is not None  # Both were read from folders.
    checksums = [run.config["inputs"].get("classifier_sha256") for run in (grid_run, real_run)]
    if None not in checksums and checksums[0] != checksums[1]:
        raise InputError(
            f"--responses: {real_run.folder} was measured with another classifier "
            f"({real_run.settings.get('classifier')}) than --grid "
            f"({grid_run.settings.get('classifier')}); run collect_responses with the grid's"
        )
    return grid_run, real_run


def _kept_configurations(results: AMResults, drop_unusable: bool) -> list[int]:
    names = list(map(str, results.configurations))
    unusable = unusable_configurations(results.responses, names) if drop_unusable else {}
    for problem in unusable.values():
        print(f"warning: left out of the ranking: {problem}", file=sys.stderr)
    kept = [index for index in range(len(names)) if index not in unusable]
    if not kept:
        raise InputError("--grid: no configuration is left to rank; see the warnings above")
    return kept


def _ranked(
    settings: SelectionSettings,
    results: AMResults,
    real: RealResponses,
    compared: np.ndarray,
    kept: list[int],
    units: Measures | None,
) -> Ranking:
    """Ranks the kept configurations by their responses, or by the units of a layer."""
    generated, reference = results.responses[kept], compared
    if units is not None:
        generated, reference = _layer_responses(results, real, kept, len(compared), units)
    ranking = rank_configurations(
        generated,
        reference,
        [results.configurations[index] for index in kept],
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    if units is None:
        return ranking
    # Mean and variance stay those of the scalar responses, which people can read.
    responses = results.responses[kept]
    rows = tuple(
        dataclasses.replace(
            row,
            mean=float(responses[row.index].mean()),
            variance=float(responses[row.index].var(ddof=1)),
        )
        for row in ranking.rows
    )
    return dataclasses.replace(
        ranking,
        rows=rows,
        real_mean=float(compared.mean()),
        real_variance=float(compared.var(ddof=1)),
        layer=str(settings.distance_layer),
    )


def _layer_responses(
    results: AMResults, real: RealResponses, kept: list[int], count: int, units: Measures
) -> tuple[np.ndarray, np.ndarray]:
    """Units (C, N, n) of the examples and (count, n) of the most extreme real excerpts."""
    excerpts = real.extremes(results.direction).excerpts
    if len(excerpts) < count:
        raise InputError(
            f"--distance_layer: compares with {count} real excerpts, but --responses keeps "
            f"{len(excerpts)}; run collect_responses with --top_n={count}, or use "
            f"--num_real={len(excerpts)}"
        )
    examples = results.examples[kept]
    generated = units.of_examples(examples.reshape(-1, *examples.shape[2:]))
    compared = units.of_real(excerpts[:count, ..., np.newaxis])
    return generated.reshape(*examples.shape[:2], -1), compared


def _layers(
    settings: SelectionSettings, real_run: Run, results: AMResults, real: RealResponses
) -> dict[str, Measures]:
    """The layers of the classifier of ``--responses`` that flags name: from excerpts to units."""
    named = {"distance_layer": settings.distance_layer, "nearest_layer": settings.nearest_layer}
    layers = {flag: layer for flag, layer in named.items() if layer}
    if not layers:
        return {}

    from svdam.explain.activations import layer_units
    from svdam.models.bridge import bridged_classifier
    from svdam.models.loading import load_model

    classifier = load_model(
        real_run.settings["classifier"],
        "classifier",
        allow_unsafe=settings.allow_unsafe_model,
        import_module=settings.import_module,
        output_names=[*layers.values()],
    )
    example_shape = results.examples.shape[2:]
    real_shape = (*real.highest.excerpts.shape[1:], 1)
    own, source = results.classifier_front_end, results.front_end
    hearing = classifier
    if own is not None and source is not None and own != source:
        hearing = bridged_classifier(classifier, own, source, "--classifier: it")
    return {
        flag: Measures(
            layer_units(hearing, layer, example_shape, flag),
            layer_units(classifier, layer, real_shape, flag),
        )
        for flag, layer in layers.items()
    }


def _realism(measures: dict[str, Measures], examples: np.ndarray, real_run: Run) -> Realism:
    """Measures (C, N, frames, mels, 1) examples and the real excerpts; see `measure_realism`."""
    flat = examples.reshape(-1, *examples.shape[2:])
    parts: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for batch in _real_batches(real_run):
        for name, measure in measures.items():
            parts[name].append(measure.of_real(batch))
    values = {}
    for name, measure in measures.items():
        found = measure.of_examples(flat)
        values[name] = found.reshape(*examples.shape[:2], *found.shape[1:])
        values[f"real_{name}"] = np.concatenate(parts[name])
    return measure_realism(**values)


def _critic(settings: SelectionSettings, results: AMResults, real: RealResponses) -> Measures:
    """The critic: from (N, frames, mels, 1) excerpts to (N,) scores."""
    from svdam.models.batches import in_batches
    from svdam.models.loading import load_model, model_path
    from svdam.models.shapes import fitted_model

    card = read_model_card(model_path(str(settings.critic), "critic"))
    found = {"examples": results.front_end, "responses": real.front_end}
    if card is not None:
        found["critic"] = card.front_end
    known = {what: one for what, one in found.items() if one is not None}
    if not all(one.is_like(real.front_end) for one in known.values()):
        raise InputError(
            f"--critic: the front ends differ ({listed_front_ends(**known)}), so it cannot score "
            "both examples and real excerpts; leave it out"
        )
    shape = results.examples.shape[2:]
    options = settings.allow_unsafe_model, settings.import_module
    critic = load_model(str(settings.critic), "critic", None, *options)
    critic = fitted_model(critic, shape, "--critic: it")
    score = functools.partial(critic, training=False)

    def scores(excerpts: np.ndarray) -> np.ndarray:
        return in_batches(score, excerpts).reshape(len(excerpts), -1)[:, 0]

    return Measures(scores, scores)


def _real_batches(real_run: Run) -> Iterator[np.ndarray]:
    """The excerpts whose responses were collected."""
    from svdam.data.excerpts import num_spaced_excerpts, spaced_excerpts

    collected = real_run.settings
    records = input_records(collected["records"])
    options = {"spacing": collected["excerpt_spacing"], "split": collected["split"]}
    total = num_spaced_excerpts(records, **options)
    batches = spaced_excerpts(records, batch_size=_BATCH, **options)
    total = -(-total // _BATCH)
    for excerpts, _, _ in progress(batches, total=total, description="real excerpts", unit="batch"):
        yield excerpts


def best_flagfile(grid_settings: dict[str, Any], best: Configuration, output: Path) -> str:
    """Text of the flagfile with which maximize_activation runs the best configuration.

    Args:
        grid_settings: All settings of the grid's run.
        best: The best configuration.
        output: Run folder to name in it.
    """
    chosen = {
        "learning_rates": (best.learning_rate,),
        "prior_weights": (best.prior_weight,),
        "num_steps": (best.num_steps,),
        "output": str(output),
    }
    known = {field.name for field in dataclasses.fields(SearchSettings)}
    kept = {name: value for name, value in grid_settings.items() if name in known}
    settings = SearchSettings(**(kept | chosen))
    return (
        "# The best configuration by eq. 3; a flagfile for maximize_activation.\n"
        "# For the opposite direction, add --direction=min (or max) and another --output.\n"
        + settings.to_flagfile()
    )


def _write_summaries(run: Run, ranking: Ranking, table: str) -> None:
    """One row of the HParams dashboard for each configuration, and the table as text."""
    with Summaries(run.tensorboard, replace=True) as summaries:
        summaries.configuration(run.config)
        summaries.text("selection/ranking", f"```\n{table}\n```")
        summaries.hparams_columns(
            {name: name.replace("_", " ") for name in vars(ranking.best.configuration)},
            {f"selection/{metric}": name for metric, name in _METRICS.items()},
        )
    for row in ranking.rows:
        with Summaries(run.tensorboard / row.folder_name) as summaries:
            summaries.hparams(
                vars(row.configuration),
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
    print(f"run the best configuration: python -m svdam.maximize_activation --flagfile={best}")
