"""A whole run of activation maximization: models in, run folder out."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from svdam.core.distribution import is_chief, make_strategy
from svdam.core.files import checksum
from svdam.core.precision import resolve_precision
from svdam.core.runs import Run, start_run
from svdam.core.summaries import tensorboard_command
from svdam.core.validation import InputError
from svdam.explain.named_outputs import settings_by_card, with_card
from svdam.explain.probabilities import DrivenClass, driven_class
from svdam.explain.responses import named_layers
from svdam.explain.settings import NO_GENERATOR, SearchSettings
from svdam.explain.starts import latents_path
from svdam.models.loading import load_model, model_path
from svdam.models.precision import in_float32, use_mixed_bfloat16
from svdam.models.shapes import matched_models
from svdam.results.files import AMResults, write_results
from svdam.stages.grid import remove_chunks, search
from svdam.stages.watching import SUMMARIES, write_summaries

COMMAND = "maximize_activation"


def explain(settings: SearchSettings) -> AMResults | None:
    """Searches, and writes results, table and summaries into the run folder.

    Returns:
        The results; None in the processes of multi_worker that do not write.

    Raises:
        InputError: If a file is missing or damaged, models do not fit, or a combination of
            settings has no meaning.
    """
    inputs = _checksums(settings)
    strategy = make_strategy(settings.strategy)
    settings = resolve_precision(settings)
    with strategy.scope():
        generator, classifier = _models(settings)
    told = settings_by_card(settings, classifier)
    driven = driven_class(classifier, told.response, told.output_is)
    with _open_run(settings, inputs, strategy) as run:
        results = search(settings, generator, classifier, run, strategy)
        if results is None:
            return None
        if driven is not None:
            with in_float32(classifier):
                results = _with_probabilities(results, classifier, driven)
        write_results(run.folder, results)
        write_summaries(run.folder / SUMMARIES, results)
        run.mark_complete(
            {"configurations": len(results.configurations), "examples": len(results.seeds)}
        )
        remove_chunks(run)
    _report(results, run.folder)
    return results


def _with_probabilities(
    results: AMResults, classifier: keras.Model, driven: DrivenClass
) -> AMResults:
    """Adds the probability of the class that was driven."""
    examples = results.examples
    found = driven.classify(classifier, examples.reshape(-1, *examples.shape[2:]))
    return dataclasses.replace(
        results,
        start_probabilities=driven.classify(classifier, results.start_examples),
        probabilities=found.reshape(examples.shape[:2]),
    )


def _checksums(settings: SearchSettings) -> dict[str, str]:
    """SHA-256 of every file that the run reads, by name."""
    paths = {"classifier": model_path(settings.classifier, "classifier")}
    if settings.generator != NO_GENERATOR:
        paths["generator"] = model_path(settings.generator, "generator")
    if settings.latents is not None:
        paths["latents"] = latents_path(settings.latents)
    return {f"{name}_sha256": checksum(path) for name, path in paths.items()}


def _models(settings: SearchSettings) -> tuple[keras.Model | None, keras.Model]:
    unsafe = settings.allow_unsafe_model
    layers = named_layers(settings.response)
    classifier = load_model(settings.classifier, "classifier", None, unsafe, layers)
    generator = None
    if settings.generator != NO_GENERATOR:
        generator = load_model(settings.generator, "generator", None, unsafe)
    generator, classifier = matched_models(generator, classifier)
    _require_excerpts(tuple(classifier.input_shape[1:]))
    if settings.precision == "mixed_bfloat16":
        for model in filter(None, (generator, classifier)):
            use_mixed_bfloat16(model)
    return generator, with_card(classifier, settings.classifier)


def _require_excerpts(shape: tuple[int, ...]) -> None:
    """Refuses models of something else than spectrograms, which results could not hold."""
    if len(shape) != 3 or shape[-1] != 1:
        raise InputError(
            f"--classifier: it takes {shape}, expected excerpts of shape (frames, mels, 1)"
        )


def _open_run(
    settings: SearchSettings, inputs: dict[str, Any], strategy: tf.distribute.Strategy
) -> contextlib.AbstractContextManager[Run]:
    """The run folder; processes that are not the chief read and write nothing there."""
    if is_chief(strategy):
        return start_run(settings.output, COMMAND, settings, inputs)
    return contextlib.nullcontext(Run(Path(settings.output), {}))


def _report(results: AMResults, folder: Path) -> None:
    before = results.start_responses.mean()
    print(f"{results.response} of {len(results.seeds)} latents: mean {before:.3f} at the start")
    means = results.responses.mean(axis=1)
    for configuration, mean in zip(results.configurations, means, strict=True):
        print(f"  {mean:10.3f}  after {configuration}")
    print(f"results: {folder}")
    print(f"watch it with: {tensorboard_command(folder)}")
