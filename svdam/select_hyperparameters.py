"""Chooses the settings of activation maximization by eq. 3 (Section 2.4).

    python -m svdam.select_hyperparameters --flagfile=flags/selection.cfg

Ranks the configurations of a grid against the most extreme real responses. Writes ranking.csv,
best.cfg (a flagfile for maximize_activation) and TensorBoard summaries into --output; with --critic
or --nearest_layer also realism.csv: does the ranking agree with measures that ignore the response?
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.select_hyperparameters import SelectionSettings, select_hyperparameters

define_flags(SelectionSettings)


def main() -> None:
    """Selects with the parsed flags."""
    settings = settings_from_flags(SelectionSettings)
    wanted = settings.critic or settings.nearest_layer
    select_hyperparameters(
        settings,
        _realism(settings) if wanted else None,
        _activations(settings, settings.distance_layer) if settings.distance_layer else None,
    )


def _activations(settings: SelectionSettings, layer: str) -> Callable[[np.ndarray], np.ndarray]:
    """Units of a layer of the classifier of --responses."""
    from svdam.core.runs import open_run
    from svdam.explain.realism import layer_units
    from svdam.models.loading import load_model

    responses = open_run(settings.responses, "collect_responses", "responses").settings
    classifier = load_model(
        responses["classifier"],
        "classifier",
        allow_unsafe=settings.allow_unsafe_model,
        output_names=[layer],
    )
    return functools.partial(layer_units, classifier, layer)


def _realism(settings: SelectionSettings) -> Callable:
    """Measures realism with the models that the flags name and the records of --responses."""
    from svdam.core.runs import open_run
    from svdam.explain.realism import measure_realism
    from svdam.models.loading import load_model

    responses = open_run(settings.responses, "collect_responses", "responses").settings
    unsafe = settings.allow_unsafe_model
    critic = settings.critic and load_model(settings.critic, "critic", allow_unsafe=unsafe)
    classifier = settings.nearest_layer and load_model(
        responses["classifier"],
        "classifier",
        allow_unsafe=unsafe,
        output_names=[settings.nearest_layer],
    )

    def measure(examples: np.ndarray):
        return measure_realism(
            examples, _real_batches(responses), critic, classifier, settings.nearest_layer or ""
        )

    return measure


def _real_batches(responses: dict) -> Iterator[np.ndarray]:
    """The excerpts whose responses were collected."""
    from svdam.core.progress import progress
    from svdam.data.excerpts import num_spaced_excerpts, spaced_excerpts
    from svdam.data.records import open_records
    from svdam.stages.builtin_records import resolve_records

    records = open_records(resolve_records(responses["records"]))
    options = {"spacing": responses["excerpt_spacing"], "split": responses["split"]}
    total = num_spaced_excerpts(records, **options)
    batches = spaced_excerpts(records, batch_size=64, **options)
    bar = progress(batches, total=-(-total // 64), description="real excerpts", unit="batch")
    for excerpts, _, _ in bar:
        yield excerpts


if __name__ == "__main__":
    run_command(main)
