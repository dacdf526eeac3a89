"""Explains many units of a classifier at once, e.g. a whole layer, and writes a page: the atlas.

Does what six commands do for one neuron: responses of real excerpts, the path search in both
directions, and pages. TensorFlow is loaded when the stage runs: wrong settings are refused without
it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdam.core.config import EXAMPLES_PER_SET, RESPONSE_SPACING
from svdam.core.distribution import make_strategy
from svdam.core.files import checksum
from svdam.core.overall import Overall
from svdam.core.precision import precision_setting, resolve_precision
from svdam.core.runs import Run, start_run
from svdam.core.settings import (
    Settings,
    import_module_setting,
    setting,
    unsafe_model_setting,
)
from svdam.core.validation import InputError, quoted_list
from svdam.data.records import Records
from svdam.explain.choices import DIRECTIONS, PRIOR_WEIGHTS
from svdam.explain.starts import parse_seeds, starting_latents
from svdam.results.explanations import (
    ExplainedUnits,
    explanation_path,
    read_explanation,
    table_row,
    write_explanation_table,
    write_units,
)
from svdam.stages.front_ends import (
    model_front_end,
    model_front_end_setting,
    require_front_end_of_either,
)
from svdam.stages.inputs import input_records
from svdam.stages.listening import (
    listener_opener,
    listener_response_setting,
    listener_setting,
    require_listener_and_response,
)
from svdam.stages.response_parts import Part, PartWorker, measure_parts, planned_parts, remove_parts
from svdam.stages.unit_pages import UnitPages
from svdam.stages.unit_responses import Respond, measure_units, real_units, unit_responses

if TYPE_CHECKING:
    import keras

    from svdam.explain.maximization import Maximizer
    from svdam.stages.bridging import Pair

_REAL, _SEARCH, _PAGES = "real responses", "searching", "pages"
_STEP_WORK = 3  # Of a latent step, in real excerpts.
_PAGE_WORK = 60  # Of the pages of a unit, in real excerpts.
_USUAL_STEPS = 12  # Of a latent, until its distance has turned.


@dataclasses.dataclass(frozen=True)
class ExplainSettings(Settings):
    """Settings of explain_classifier."""

    output: str = setting("runs/explain", "Run folder to write.", path=True, identity=False)
    classifier: str = setting(
        "checkpoints/demo_svdnet.keras",
        "Classifier: a .keras file or a run folder of train_classifier.",
        path=True,
    )
    generator: str = setting(
        "checkpoints/demo_generator.keras",
        "Generator: a .keras file or a run folder of train_gan.",
        path=True,
    )
    records: str = setting(
        "builtin", "Records: a run folder of prepare_data, or builtin.", path=True
    )
    split: str = setting("train", "Split whose songs are measured.")
    response: str = setting(
        "fc2:*",
        "Responses to explain, separated by commas, e.g. fc2:*, for every unit of a layer, or "
        "tags:guitar,tags:piano.",
    )
    excerpt_spacing: int = setting(
        RESPONSE_SPACING, "Number of frames from the start of one excerpt to the next.", minimum=1
    )
    top_n: int = setting(
        EXAMPLES_PER_SET,
        "Number of highest and of lowest real responses to keep, at least as many as --seeds.",
        minimum=2,
    )
    batch_size: int = setting(64, "Number of real excerpts per batch.", minimum=1, identity=False)
    seeds: str = setting("0-11", "Seeds of the starting latents, e.g. 0-49 or 3,5,8-11.")
    draws: int = setting(
        1,
        "Number of latents drawn from each seed: a search starts from the one whose response is "
        "nearest to the highest (or lowest) real ones.",
        minimum=1,
    )
    directions: tuple[str, ...] = setting(
        DIRECTIONS, "Whether to maximize (max) or minimize (min), or both.", choices=DIRECTIONS
    )
    learning_rate: float = setting(0.05, "Learning rate of the path search.", above=0)
    prior_weights: tuple[float, ...] = setting(
        PRIOR_WEIGHTS, "Prior weights lambda to try.", minimum=0
    )
    max_steps: int = setting(
        200, "Number of steps after which the search ends at the latest.", minimum=1
    )
    precision: str = precision_setting()
    max_memory: float = setting(
        4.0,
        "Memory limit in GiB, which determines how many latents are optimized at once.",
        above=0,
    )
    num_sounds: int = setting(
        3, "Number of sounds of each set of excerpts of a unit on the pages.", minimum=0
    )
    listening_test: bool = setting(
        False,
        "Whether to write a listening test, listening_test.html, too: people say which of two real "
        "excerpts excites a unit more. Its key is listening_key.csv.",
        identity=False,
    )
    listener: str | None = listener_setting()
    listener_response: str | None = listener_response_setting()
    strategy: str = setting(
        "one_device",
        "Devices to split the latents over: one_device, or mirrored for the GPUs of this machine.",
        choices=("one_device", "mirrored"),
    )
    generator_front_end: str | None = model_front_end_setting("generator")
    classifier_front_end: str | None = model_front_end_setting("classifier")
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()

    def validate(self) -> None:
        """Checks the lists, and that there are enough real responses to compare with."""
        for name in ("prior_weights", "directions"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}: found {values}, expected different values")
        require_listener_and_response(self.listener, self.listener_response)
        if self.listener and len(self.directions) < len(DIRECTIONS):
            raise InputError(
                "--listener: compares maximized with minimized examples, so --directions has to "
                "name both"
            )
        count = len(parse_seeds(self.seeds))
        if not 2 <= count <= self.top_n:
            raise InputError(
                f"--seeds: names {count} latents, expected from 2 to --top_n={self.top_n}: they "
                "are compared with as many real excerpts"
            )


def explain_classifier(settings: ExplainSettings) -> ExplainedUnits:
    """Explains units, and writes explanations, table, pages and summaries into the run folder.

    Raises:
        InputError: If a file is missing or damaged, models do not fit, a response does not exist,
            or there are too few excerpts.

    Example:
        >>> import svdam
        >>> units = explain_classifier(
        ...     ExplainSettings(records="runs/data", response="fc2:3,fc2:17", output="runs/explain",
        ...                     seeds="0-1", top_n=2, max_steps=2)
        ... )
        explained 2 of 2 units
        ...
        >>> for found in svdam.read_explanations("runs/explain"):
        ...     figure = found.plot()
    """
    inputs = _checksums(settings)
    records = input_records(settings.records)
    parts = planned_parts(records, settings.split, settings.excerpt_spacing, settings.top_n)
    inputs["records_fingerprint"] = records.fingerprint
    strategy = make_strategy(settings.strategy)  # Before anything else of TensorFlow runs.
    settings = resolve_precision(settings)

    from svdam.explain.maximization import Maximizer
    from svdam.explain.named_outputs import named_responses
    from svdam.stages.bridging import checked_bridge_of_units

    with strategy.scope():
        pair = load_pair(settings, records)
    classifier = pair.classifier
    names = named_responses(classifier, settings.response, settings.classifier)
    engine = Maximizer(pair.generator, classifier, list(names.values()), strategy=strategy)
    respond = unit_responses(pair.classifier_for(records.front_end), list(names.values()))
    respond_to_examples = unit_responses(classifier, list(names.values()))
    bridge = checked_bridge_of_units(pair, names, records)
    with (
        start_run(settings.output, "explain_classifier", settings, inputs | pair.inputs()) as run,
        _overall(settings, parts, len(names)) as overall,
    ):
        overall.begin(_REAL)
        worker = PartWorker(
            records,
            run.folder,
            settings.split,
            settings.excerpt_spacing,
            settings.batch_size,
            lambda records: measure_units(respond, records, settings.split),
        )
        measure_parts(worker, parts, run, advance=overall.advance)
        starts, seeds = starting_latents(settings.seeds, None, engine.latent_shape)
        start_examples = engine.evaluate(starts, places=[0] * len(starts)).examples
        units = ExplainedUnits(
            names=list(names),
            responses=list(names.values()),
            **real_units(worker, parts, settings.top_n, records, settings.split),
            seeds=seeds,
            start_latents=starts,
            start_examples=start_examples,
            start_responses=respond_to_examples(start_examples).T,
            provenance=run.config,
        )
        write_units(run.folder, units)
        overall.begin(_SEARCH)
        failures = _search(settings, run, units, engine, respond_to_examples, pair, overall)
        overall.begin(_PAGES)
        page = _write_pages(settings, run, units, failures, records, pair, bridge, overall)
        run.mark_complete(
            {
                "units": len(units),
                "explained": len(units) - len(failures),
                "failures": {units.names[unit]: why for unit, why in failures.items()},
                "page": page.name,
            }
        )
        remove_parts(run)  # Last: a run without them and not complete would start again.
    _report(units, failures, run)
    return units


def _checksums(settings: ExplainSettings) -> dict[str, Any]:
    from svdam.models.loading import model_path

    return {
        f"{flag}_sha256": checksum(model_path(path, flag))
        for flag, path in (
            ("classifier", settings.classifier),
            ("generator", settings.generator),
            ("listener", settings.listener),
        )
        if path is not None
    }


def load_pair(settings: ExplainSettings, records: Records) -> "Pair":
    """Loads the generator and the classifier of a run, with a bridge between them if they need one.

    Args:
        settings: Of the run; the precision is resolved.
        records: The real excerpts.

    Raises:
        InputError: If a model cannot be loaded, or models and records do not fit each other.
    """
    from svdam.explain.named_outputs import with_card
    from svdam.explain.responses import named_layers, split_responses
    from svdam.models.loading import load_model, model_path
    from svdam.models.precision import use_mixed_bfloat16
    from svdam.stages.bridging import paired_models

    options = settings.allow_unsafe_model, settings.import_module
    layers = [name for one in split_responses(settings.response) for name in named_layers(one)]
    classifier = load_model(settings.classifier, "classifier", None, *options, layers)
    generator = load_model(settings.generator, "generator", None, *options)
    front_ends = (
        model_front_end(model_path(model, flag), flag, said)
        for flag, model, said in (
            ("generator", settings.generator, settings.generator_front_end),
            ("classifier", settings.classifier, settings.classifier_front_end),
        )
    )
    pair = paired_models(generator, classifier, *front_ends)
    require_front_end_of_either(records, pair.front_end, pair.own_front_end)
    if settings.precision == "mixed_bfloat16":
        for model in (pair.generator, pair.classifier):
            use_mixed_bfloat16(model)
    with_card(pair.classifier, settings.classifier)
    return pair


def _search(
    settings: ExplainSettings,
    run: Run,
    units: ExplainedUnits,
    engine: "Maximizer",
    respond: Respond,
    pair: "Pair",
    overall: Overall,
) -> dict[int, str]:
    """Searches all units, and writes their table.

    Returns:
        Why units could not be searched, by their number.

    Raises:
        InputError: If none could.
    """
    from svdam.stages.unit_search import UnitSearch, draw

    search = UnitSearch(
        engine,
        units,
        draw(units, settings.draws, engine, respond),
        settings.directions,
        settings.learning_rate,
        settings.prior_weights,
        settings.max_steps,
        _max_batch(settings, [pair.generator, pair.classifier], units),
        _unit_steps(settings),
    )
    failures = search.run(run, lambda steps: overall.advance(_STEP_WORK * steps))
    explained = [unit for unit in range(len(units)) if unit not in failures]
    if not explained:
        raise InputError(f"--response: no unit could be explained: {failures[0]}")
    _write_table(run, units, explained, settings.directions)
    return failures


def _write_pages(
    settings: ExplainSettings,
    run: Run,
    units: ExplainedUnits,
    failures: dict[int, str],
    records: Records,
    pair: "Pair",
    bridge: str,
    overall: Overall,
) -> Path:
    """Writes the atlas, which it returns, and the listening test if there is to be one."""
    known, frames = pair.front_end or records.front_end, units.start_examples.shape[1]
    pages = UnitPages(
        units,
        records,
        settings.split,
        dataclasses.replace(known, excerpt_frames=frames),
        settings.directions,
        settings.num_sounds,
        bridge,
        listener_opener(
            settings.listener,
            settings.listener_response,
            settings.allow_unsafe_model,
            settings.import_module,
        ),
    )
    page = pages.write(run, failures, lambda count: overall.advance(_PAGE_WORK * count))
    if settings.listening_test and pages.write_listening_test(run.folder, failures) is None:
        print("no listening test: the extreme responses of no explained unit differ")
    return page


def _unit_steps(settings: ExplainSettings) -> int:
    """Latent steps that a unit takes, about."""
    groups = len(settings.directions) * len(settings.prior_weights)
    return _USUAL_STEPS * groups * len(parse_seeds(settings.seeds))


def _overall(settings: ExplainSettings, parts: list[Part], num_units: int) -> Overall:
    """The bar over all phases; work is counted in real excerpts."""
    return Overall(
        {
            _REAL: sum(part.num_excerpts for part in parts),
            _SEARCH: _STEP_WORK * _unit_steps(settings) * num_units,
            _PAGES: _PAGE_WORK * num_units,
        }
    )


def _max_batch(
    settings: ExplainSettings, models: "list[keras.Model]", units: ExplainedUnits
) -> int:
    """Latents that are optimized at once."""
    from svdam.models.search_memory import latents_at_once
    from svdam.stages.grid import LARGEST_CHUNK

    # Twice the correlations, and the examples of a chunk.
    held = 16 * units.statistics.correlations.size + 16 * 4 * units.start_examples.size
    return min(latents_at_once(models, settings.max_memory, held), LARGEST_CHUNK)


def _write_table(
    run: Run, units: ExplainedUnits, explained: list[int], directions: Sequence[str]
) -> None:
    write_explanation_table(
        run.folder,
        [
            table_row(units, unit, read_explanation(explanation_path(run.folder, unit, one)))
            for unit in explained
            for one in directions
        ],
    )


def _report(units: ExplainedUnits, failures: dict[int, str], run: Run) -> None:
    silent = [units.names[unit] for unit in range(len(units)) if not units.fires(unit)]
    print(f"explained {len(units) - len(failures)} of {len(units)} units")
    if silent:
        print(f"never above 0 in real excerpts: {quoted_list(silent, 12)}")
    for unit, why in failures.items():
        print(f"not explained: {units.names[unit]}: {why}")
    print(f"results: {run.folder}")
    print(f"page: {(run.folder / 'index.html').resolve()}")
