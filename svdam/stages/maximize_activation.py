"""Activation maximization with one configuration, or with a grid of them (eq. 2, Section 3.4).

TensorFlow is loaded when the stage runs: wrong settings are refused without it.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdam.core.distribution import STRATEGIES, is_chief, make_strategy
from svdam.core.files import checksum
from svdam.core.front_end import FrontEnd
from svdam.core.precision import precision_setting, resolve_precision
from svdam.core.runs import Run, start_run
from svdam.core.settings import (
    Settings,
    import_module_setting,
    output_setting,
    setting,
    unsafe_model_setting,
)
from svdam.core.summaries import tensorboard_command
from svdam.core.validation import InputError
from svdam.explain.choices import BETA_1, DIRECTIONS, KEEP, OPTIMIZERS, PRIORS
from svdam.explain.starts import parse_seeds, starting_latents
from svdam.results.examples import AMResults, write_results
from svdam.results.latents import latents_path
from svdam.stages.example_summaries import write_summaries
from svdam.stages.front_ends import model_front_end, model_front_end_setting
from svdam.stages.inputs import input_records

if TYPE_CHECKING:
    from svdam.explain.optimizers import Optimizer
    from svdam.stages.bridging import Pair

NO_GENERATOR = "none"
"""Value of ``--generator`` that searches the excerpt itself (eq. 1)."""


@dataclasses.dataclass(frozen=True)
class SearchSettings(Settings):
    """Settings of maximize_activation: one configuration, or a grid of them (Section 3.4)."""

    output: str = setting("runs/grid", "Run folder to write.", path=True, identity=False)
    classifier: str = setting(
        "checkpoints/demo_svdnet.keras",
        "Classifier: a .keras file or a run folder of train_classifier.",
        path=True,
    )
    generator: str = setting(
        "checkpoints/demo_generator.keras",
        "Generator: a .keras file, a run folder of train_gan, or none to optimize the excerpt "
        "itself, without a prior (eq. 1).",
        path=True,
    )
    response: str = setting(
        "logit",
        "Response to maximize or minimize, by names of layers, e.g. logit, fc2:17, conv3 or "
        "logit - 0.5 * conv1.",
    )
    output_is: str = output_setting()
    classifier_front_end: str | None = model_front_end_setting("classifier")
    generator_front_end: str | None = model_front_end_setting("generator")
    records: str | None = setting(
        None,
        "Records, with audio, of which 100 excerpts tell how well the response survives the bridge "
        "between two front ends; a run folder of prepare_data, or builtin. By default, this is not "
        "measured.",
        path=True,
    )
    direction: str = setting(
        "max", "Whether to maximize (max) or minimize (min) the response.", choices=DIRECTIONS
    )
    optimizer: str = setting(
        "adam",
        "Optimizer: adam, as in the paper, or gradient_ascent, with a learning rate that "
        "decreases linearly to 0.",
        choices=OPTIMIZERS,
    )
    learning_rates: tuple[float, ...] = setting(
        (0.1, 0.01, 0.001), "Learning rates; for gradient_ascent, those of the first step.", above=0
    )
    beta_1: float = setting(
        BETA_1, "Adam's beta 1; the released code uses 0.9.", minimum=0, maximum=0.9999
    )
    weight_decay: float = setting(
        0.0,
        "Weight decay of gradient_ascent: share of the latent that is subtracted after each "
        "step, instead of a prior; 0.01 corresponds to 0.99 in the released code.",
        minimum=0,
        maximum=0.9999,
    )
    prior_weights: tuple[float, ...] = setting(
        (0.1, 0.01, 0.001), "Prior weights lambda.", minimum=0
    )
    num_steps: tuple[int, ...] = setting(
        (100, 500, 1000), "Numbers of optimization steps.", minimum=1
    )
    seeds: str | None = setting(
        None,
        "Seeds of the starting latents, e.g. 0-49 or 3,5,8-11; with --latents, the rows to "
        "use. The default is 0-49, or all rows.",
    )
    latents: str | None = setting(
        None,
        "Starting latents: a .npy file of shape (N, latent size), or results.h5 (or the run "
        "folder) of an earlier run with a single configuration, whose final latents are used. "
        "By default, latents are drawn from --seeds.",
        path=True,
    )
    prior: str = setting("paper", "Prior of the latents.", choices=PRIORS)
    keep: str = setting(
        "last", "Whether to keep the last step or the one with the best response.", choices=KEEP
    )
    precision: str = precision_setting()
    max_memory: float = setting(
        4.0,
        "Memory limit in GiB, which determines how many latents are optimized at once.",
        above=0,
    )
    strategy: str = setting(
        "one_device",
        "Devices to split the latents over: one_device, mirrored for the GPUs of this "
        "machine, or multi_worker for the processes in TF_CONFIG.",
        choices=STRATEGIES,
    )
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()

    def validate(self) -> None:
        """Checks the lists, and refuses combinations that have no meaning."""
        for name in ("learning_rates", "prior_weights", "num_steps"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}: found {values}, expected different values")
        if self.seeds is not None:
            parse_seeds(self.seeds)
        if self.generator == NO_GENERATOR and self.prior != "none":
            raise InputError(
                f"--prior={self.prior}: with --generator=none, the excerpt itself is optimized, "
                "which has no prior; add --prior=none --prior_weights=0"
            )
        if self.generator == NO_GENERATOR and self.generator_front_end:
            raise InputError("--generator_front_end: there is none with --generator=none")
        if self.prior == "none" and any(self.prior_weights):
            raise InputError(
                f"--prior_weights: found {self.prior_weights}, but with --prior=none there is no "
                "prior to weigh; expected --prior_weights=0"
            )
        if self.optimizer == "adam":
            self._refuse("weight_decay", self.weight_decay != 0, "only gradient_ascent has it")
            return
        self._refuse("beta_1", self.beta_1 != BETA_1, "only Adam has it")
        self._refuse(
            "num_steps",
            len(self.num_steps) > 1,
            "since the learning rate decreases, each number of steps needs its own run; specify "
            "one",
        )
        self._refuse(
            "weight_decay",
            self.weight_decay != 0 and self.prior != "none",
            "it replaces the prior; add --prior=none --prior_weights=0",
        )

    def _refuse(self, name: str, refused: bool, why: str) -> None:
        if refused:
            value = getattr(self, name)
            raise InputError(f"--{name}: found {value} with --optimizer={self.optimizer}: {why}")


def maximize_activation(settings: SearchSettings) -> AMResults | None:
    """Optimizes latents, and writes results, table and summaries into the run folder.

    Returns:
        The results; None in the processes of multi_worker that do not write.

    Raises:
        InputError: If a file is missing or damaged, models do not fit, or a combination of
            settings has no meaning.
    """
    inputs: dict[str, Any] = _checksums(settings)
    front_ends = _front_ends(settings)
    records = input_records(settings.records) if settings.records else None
    strategy = make_strategy(settings.strategy)  # Before anything else of TensorFlow runs.
    settings = resolve_precision(settings)

    from svdam.explain.maximization import Maximizer
    from svdam.explain.named_outputs import told_by_card
    from svdam.explain.probabilities import driven_class
    from svdam.models.precision import in_float32
    from svdam.stages.bridging import checked_bridge
    from svdam.stages.grid import chunk_size, remove_chunks, search

    with strategy.scope():
        pair = _load_models(settings, front_ends)
    generator, classifier = pair.generator, pair.classifier
    response, output_is = told_by_card(
        classifier, settings.response, settings.output_is, settings.classifier
    )
    driven = driven_class(classifier, response, output_is)
    engine = Maximizer(
        generator,
        classifier,
        response,
        settings.direction,
        settings.prior,
        settings.keep,
        _optimizer(settings),
        strategy,
    )
    facts = checked_bridge(pair, response, records)
    bridge = {} if facts is None else {"bridge": dataclasses.asdict(facts)}
    starts, seeds = starting_latents(settings.seeds, settings.latents, engine.latent_shape)
    grid = settings.learning_rates, settings.prior_weights, settings.num_steps
    models = [model for model in (generator, classifier) if model is not None]
    size = chunk_size(models, len(starts), grid, settings.max_memory)
    with _open_run(settings, inputs | pair.inputs(), is_chief(strategy)) as run:
        found = search(engine, starts, *grid, run, size, settings.response, strategy)
        if found is None:
            return None
        results = AMResults(
            **found,
            response=settings.response,
            direction=settings.direction,
            seeds=seeds,
            provenance=run.config | bridge,
        )
        if driven is not None:
            with in_float32(classifier):
                results = dataclasses.replace(
                    results,
                    start_probabilities=driven.classify(classifier, results.start_examples),
                    probabilities=driven.classify(classifier, results.examples),
                )
        write_results(run.folder, results)
        write_summaries(run.tensorboard, results)
        run.mark_complete(
            {
                "configurations": len(results.configurations),
                "examples": len(results.seeds),
                **bridge,
            }
        )
        remove_chunks(run)  # Last: a run without them and not complete would start again.
    _report(results, run.folder)
    return results


def _checksums(settings: SearchSettings) -> dict[str, str]:
    """SHA-256 of every file that the run reads, by name."""
    from svdam.models.loading import model_path

    paths = {"classifier": model_path(settings.classifier, "classifier")}
    if settings.generator != NO_GENERATOR:
        paths["generator"] = model_path(settings.generator, "generator")
    if settings.latents is not None:
        paths["latents"] = latents_path(settings.latents)
    return {f"{name}_sha256": checksum(path) for name, path in paths.items()}


def _front_ends(settings: SearchSettings) -> tuple[FrontEnd | None, FrontEnd | None]:
    """What cards and flags say about the front ends of generator and classifier."""
    from svdam.models.loading import model_path

    generator = None
    if settings.generator != NO_GENERATOR:
        path = model_path(settings.generator, "generator")
        generator = model_front_end(path, "generator", settings.generator_front_end)
    path = model_path(settings.classifier, "classifier")
    return generator, model_front_end(path, "classifier", settings.classifier_front_end)


def _load_models(
    settings: SearchSettings, front_ends: tuple[FrontEnd | None, FrontEnd | None]
) -> "Pair":
    from svdam.explain.named_outputs import with_card
    from svdam.explain.responses import named_layers
    from svdam.models.loading import load_model
    from svdam.models.precision import use_mixed_bfloat16
    from svdam.stages.bridging import paired_models

    options = settings.allow_unsafe_model, settings.import_module
    layers = named_layers(settings.response)
    classifier = load_model(settings.classifier, "classifier", None, *options, layers)
    generator = None
    if settings.generator != NO_GENERATOR:
        generator = load_model(settings.generator, "generator", None, *options)
    pair = paired_models(generator, classifier, *front_ends)
    shape = tuple(pair.classifier.input_shape[1:])
    if len(shape) != 3 or shape[-1] != 1:  # Results could not hold them.
        raise InputError(
            f"--classifier: it takes {shape}, expected excerpts of shape (frames, mels, 1)"
        )
    if settings.precision == "mixed_bfloat16":
        for model in filter(None, (pair.generator, pair.classifier)):
            use_mixed_bfloat16(model)
    with_card(pair.classifier, settings.classifier)
    return pair


def _optimizer(settings: SearchSettings) -> "Optimizer":
    from svdam.explain.optimizers import Adam, GradientAscent

    if settings.optimizer == "adam":
        return Adam(settings.beta_1)
    return GradientAscent(settings.weight_decay)


def _open_run(
    settings: SearchSettings, inputs: dict[str, Any], writes: bool
) -> contextlib.AbstractContextManager[Run]:
    """The run folder; processes that are not the chief read and write nothing there."""
    if writes:
        return start_run(settings.output, "maximize_activation", settings, inputs)
    return contextlib.nullcontext(Run(Path(settings.output), {}))


def _report(results: AMResults, folder: Path) -> None:
    before = results.start_responses.mean()
    print(f"{results.response} of {len(results.seeds)} latents: mean {before:.3f} at the start")
    means = results.responses.mean(axis=1)
    for configuration, mean in zip(results.configurations, means, strict=True):
        print(f"  {mean:10.3f}  after {configuration}")
    print(f"results: {folder}")
    print(f"watch it with: {tensorboard_command(folder)}")
