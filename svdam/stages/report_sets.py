"""From runs to what pages show: excerpts with their names, numbers and sounds."""

import dataclasses
import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from svdam.audio.inversion import (
    GRIFFIN_LIM_ITERATIONS,
    log_mels_to_audio,
    round_trip_error_db,
)
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError
from svdam.datasets.labels import concept_in_words, in_words
from svdam.evaluation.concept import CLAIMED_SIGN, compare_sets, measure_excerpts
from svdam.evaluation.ranking import RankedConfiguration
from svdam.report.assets import Synthesis
from svdam.report.content import ConceptRow, ExampleSet
from svdam.results.examples import AMResults
from svdam.results.responses import RealResponses


def start_set(grid: AMResults) -> ExampleSet:
    """The generator's output before optimization."""
    return ExampleSet(
        key="start",
        title="before optimization",
        log_mels=grid.start_examples[..., 0],
        front_end=examples_front_end(grid),
        responses=grid.start_responses,
        probabilities=grid.start_probabilities,
        labels=seed_labels(grid.seeds),
        mark="start",
        sounds_of=tuple(range(len(grid.seeds))),
    )


def grid_set(grid: AMResults, row: RankedConfiguration, sounds: str) -> ExampleSet:
    """One configuration of the grid; ``sounds`` is ``best`` or ``all``."""
    position, mark = grid.configurations.index(row.configuration), row.mark
    heard = range(len(grid.seeds)) if sounds == "all" or mark == "best" else range(0)
    if mark in ("median", "worst") and not heard:
        heard = range(min(2, len(grid.seeds)))  # The ones in Figure 3.
    title = f"#{row.rank}: {row}".replace("lambda", "λ")
    return example_set(grid, position, f"rank{row.rank:03d}", title, mark, heard)


def example_set(
    results: AMResults, position: int, key: str, title: str, mark: str, sounds_of: range
) -> ExampleSet:
    """Examples of the configuration at ``position`` in a run."""
    return ExampleSet(
        key=key,
        title=title,
        log_mels=results.examples[position][..., 0],
        front_end=examples_front_end(results),
        responses=results.responses[position],
        probabilities=None if results.probabilities is None else results.probabilities[position],
        labels=seed_labels(results.seeds),
        log_priors=results.log_priors[position],
        configuration=results.configurations[position],
        mark=mark,
        history=results.history(position),
        sounds_of=tuple(sounds_of),
    )


def real_set(real: RealResponses, word: str) -> ExampleSet:
    """The real excerpts with the ``word`` (highest, lowest) responses."""
    top = real.highest if word == "highest" else real.lowest

    count = len(top.responses)
    return ExampleSet(
        key=f"real-{word}",
        title=f"The {count} real excerpts with the {word} responses",
        log_mels=top.excerpts,
        responses=top.responses,
        labels=[
            excerpt_label(real.song_ids[song], first_frame, real.front_end)
            for song, first_frame in zip(top.song, top.first_frame, strict=True)
        ],
        probabilities=top.probabilities,
        sounds_of=tuple(range(count)),
        front_end=real.front_end,
    )


def excerpt_label(song_id: str, first_frame: int, front_end: FrontEnd) -> str:
    """What a real excerpt is called: its song and when it starts."""
    minutes, seconds = divmod(first_frame / front_end.frames_per_second, 60)
    return f"{song_id}, {int(minutes)}:{seconds:04.1f}"


def explained_label(response: str, label_names: Sequence[str]) -> str | None:
    """The label that a response is the output of: by its name, its number, or as the only one.

    Args:
        response: What was explained, e.g. ``logit``, ``tags:dog`` or ``logit:1``.
        label_names: Labels of the records.

    Returns:
        Its name; the name of another output if the response gives one; None for other responses of
        a classifier of several labels.
    """
    layer, _, unit = (part.strip(" '\"") for part in response.partition(":"))
    if unit.isdecimal() and layer in ("logit", "output", "tags") and len(label_names) > 1:
        return label_names[int(unit)] if int(unit) < len(label_names) else None
    if unit and not unit.isdecimal() and not set("+-*:").intersection(unit):
        return next((name for name in label_names if unit in (name, in_words(name))), unit)
    return label_names[0] if len(label_names) == 1 else None


def explained_concept(response: str, label_names: Sequence[str]) -> str:
    """What an explained neuron stands for, in words; see `explained_label`."""
    label = explained_label(response, label_names)
    return ", ".join(map(concept_in_words, label_names if label is None else [label]))


def clear_page(folder: Path) -> None:
    """Removes the files of an earlier page from a run folder."""
    for name in ("figures", "images", "sounds"):
        shutil.rmtree(folder / name, ignore_errors=True)


def sound_synthesis(inversion: str = "pseudo_inverse", momentum: float = 0.0) -> Synthesis:
    """How the sounds of a page are made; see `svdam.audio.inversion.log_mels_to_audio`."""
    ways = {
        "pseudo_inverse": "the filterbank's pseudo-inverse",
        "nnls": "non-negative least squares",
    }
    algorithm = f"the fast Griffin-Lim algorithm (momentum {momentum:g})"
    return Synthesis(
        functools.partial(log_mels_to_audio, inversion=inversion, momentum=momentum),
        round_trip_error_db,
        f"Sounds are synthesised with {ways[inversion]} and {GRIFFIN_LIM_ITERATIONS} iterations of "
        f"{algorithm if momentum else 'the Griffin-Lim algorithm'}.",
    )


def examples_front_end(results: AMResults) -> FrontEnd:
    """The front end of examples, which a report needs for its axes and sounds.

    Raises:
        InputError: If it is not known, or the examples are not of its form.
    """
    front_end, shape = results.front_end, results.examples.shape[2:]
    if front_end is None or shape[1:] != (front_end.num_mels, 1):
        raise InputError(
            f"--grid: the front end of its examples of shape {shape} is not known, so they have no "
            "axes and no sounds; run maximize_activation with --generator_front_end, or with a "
            "generator that has a model card"
        )
    return dataclasses.replace(front_end, excerpt_frames=shape[0])


def seed_labels(seeds: np.ndarray) -> list[str]:
    """What examples are called: by the seeds of their latents."""
    return [f"seed {seed}" for seed in seeds.tolist()]


def concept_rows(sets: Mapping[str, ExampleSet | None], claims: bool) -> list[ConceptRow]:
    """Takes the three measures of Section 4.2 on every example of some sets, and compares the sets.

    Args:
        sets: ``start``; ``maximized`` and ``minimized`` from the same latents, or None; ``lowest
            real`` and ``highest real``. Their ``measures`` are filled in.
        claims: Whether the paper makes claims about this response.
    """
    measured = {}
    for name, one in sets.items():
        if one is not None:
            measured[name] = one.measures = measure_excerpts(one.log_mels, one.front_end)
    comparisons = [
        ("start", "maximized", True, 1),
        ("start", "minimized", True, -1),
        ("minimized", "maximized", True, 1),
        ("lowest real", "highest real", False, 0),  # The paper makes no claim about these.
    ]
    rows = []
    for before, after, paired, way in comparisons:
        sizes = [len(measured[name]["transients"]) for name in (before, after) if name in measured]
        if len(sizes) < 2 or min(sizes) < 2:
            continue
        rows += [
            ConceptRow(
                comparison=f"{before} → {after}",
                measure=effect.measure.replace("_", " ").replace("low band", "low-band"),
                unit=effect.unit,
                mean_before=effect.mean_before,
                mean_after=effect.mean_after,
                effect_size=effect.effect_size,
                effect_low=effect.effect_low,
                effect_high=effect.effect_high,
                claimed_sign=CLAIMED_SIGN[effect.measure] * way if claims else 0,
            )
            for effect in compare_sets(measured[before], measured[after], paired=paired)
        ]
    return rows
