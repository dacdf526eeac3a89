"""Explanations of many responses: what explain_classifier writes, and how to read it back.

    units = read_units("runs/explain")           responses of real excerpts, one row per unit
    for found in read_explanations("runs/explain"):
        print(found.unit, found.direction, found.distance, found.responses.mean())

Each explanation is a file of its own, ``explanations/NUMBER-DIRECTION.h5``, so that memory is
bounded however many there are; ``explanations.csv`` has one row for each.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from svdam.core.files import require_inside
from svdam.core.runs import open_run
from svdam.core.validation import InputError, is_number
from svdam.evaluation.ranking import Configuration
from svdam.evaluation.units import UnitStatistics
from svdam.results.array_files import read_arrays, require_shapes, write_arrays, write_table
from svdam.results.display import Shown

UNITS_NAME = "units.h5"
TABLE_NAME = "explanations.csv"
_FOLDER = "explanations"
# U units, M songs, L labels, B bins, K extremes, N latents, F frames, R bands, W prior weights,
# S snapshots.
_UNITS_SHAPES: dict[str, tuple] = {
    "statistics/mean": ("U",),
    "statistics/variance": ("U",),
    "statistics/bin_edges": ("U", "E"),
    "statistics/bin_counts": ("U", "B"),
    "statistics/share_above_half": ("U",),
    "statistics/highest": ("U", "K"),
    "statistics/lowest": ("U", "K"),
    **{f"{which}_{column}": ("U", "K") for which in ("highest", "lowest")
       for column in ("song", "first_frame")},
    "order": ("U",),
    "groups": ("U",),
    "seeds": ("N",),
    "start_latents": ("N", ...),
    "start_examples": ("N", "F", "R", 1),
    "start_responses": ("U", "N"),
}  # fmt: skip
_SHAPES: dict[str, tuple] = {
    "latents": ("N", ...),
    "examples": ("N", "F", "R", 1),
    "responses": ("N",),
    "prior_weights": ("W",),
    "steps": ("S",),
    "distances": ("W", "S"),
    "path_responses": ("W", "S", "N"),
    "way_examples": ("T", "P", "F", "R", 1),
    "way_steps": ("T",),
}


@dataclasses.dataclass
class ExplainedUnits:
    """The U units of a run, their responses to real excerpts, and where their searches start.

    Attributes:
        names: What the units are called, e.g. ``fc2:17`` or ``tags:guitar``.
        responses: The same with outputs by number, as `svdam.explain.responses` reads them.
        song_ids: Names of the songs.
        labels: Names of the labels whose effect sizes were measured.
        statistics: Responses to the real excerpts.
        highest_song, lowest_song: (U, K) int64 index into ``song_ids``.
        highest_first_frame, lowest_first_frame: (U, K) int64.
        order: (U,) int64 units, alike ones next to each other.
        groups: (U,) int64 number of each unit's group of alike units.
        seeds: (N,) int64 seeds of the starting latents.
        start_latents: (N, n).
        start_examples: (N, frames, mels, 1), the generator's output before the first step.
        start_responses: (U, N).
        provenance: Settings, versions and model files.
    """

    names: list[str]
    responses: list[str]
    song_ids: list[str]
    labels: list[str]
    statistics: UnitStatistics
    highest_song: np.ndarray
    lowest_song: np.ndarray
    highest_first_frame: np.ndarray
    lowest_first_frame: np.ndarray
    order: np.ndarray
    groups: np.ndarray
    seeds: np.ndarray
    start_latents: np.ndarray
    start_examples: np.ndarray
    start_responses: np.ndarray
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.names)

    def trouble(self, unit: int) -> str:
        """Why a unit cannot be searched, in words; "" where it can."""
        if not self.statistics.is_finite[unit]:
            return "its response to some real excerpts is not finite"
        if self.statistics.highest[unit, 0] <= self.statistics.lowest[unit, 0]:
            return "its response is the same for all real excerpts"
        if not np.isfinite(self.start_responses[unit]).all():
            return "its response to what the generator makes is not finite"
        return ""

    def fires(self, unit: int) -> bool:
        """Whether its response to any real excerpt is above 0."""
        return bool(self.statistics.highest[unit, 0] > 0)


@dataclasses.dataclass
class Explanation(Shown):
    """What the path search found for a unit in one direction.

    Attributes:
        unit: Name of the unit.
        direction: ``max`` or ``min``.
        configuration: The configuration with the smallest distance.
        has_turned: Whether the distance has stopped falling, for every prior weight.
        distance: Eq. 3 between ``responses`` and the N most extreme real responses.
        distance_low, distance_high: Ends of its 95% bootstrap interval.
        latents: (N, n) with this configuration.
        examples: (N, frames, mels, 1).
        responses: (N,).
        prior_weights: (W,) that were tried.
        steps: (S,) int64 numbers of steps that were tried.
        distances: (W, S); NaN where the search had stopped.
        path_responses: (W, S, N); likewise.
        way_examples: (T, P, frames, mels, 1) examples of the first P latents on their way, with the
            prior weight of the configuration.
        way_steps: (T,) int64 their numbers of steps.
    """

    unit: str
    direction: str
    configuration: Configuration
    has_turned: bool
    distance: float
    distance_low: float
    distance_high: float
    latents: np.ndarray
    examples: np.ndarray
    responses: np.ndarray
    prior_weights: np.ndarray
    steps: np.ndarray
    distances: np.ndarray
    path_responses: np.ndarray
    way_examples: np.ndarray
    way_steps: np.ndarray


def explanation_path(folder: str | os.PathLike, number: int, direction: str) -> Path:
    """File of the explanation of unit ``number`` in one direction."""
    return Path(folder) / _FOLDER / f"{number:05d}-{direction}.h5"


def write_units(folder: str | os.PathLike, units: ExplainedUnits) -> None:
    """Writes ``units.h5``, atomically."""
    write_arrays(Path(folder) / UNITS_NAME, units)


def write_explanation(folder: str | os.PathLike, number: int, found: Explanation) -> None:
    """Writes the explanation of unit ``number`` in one direction, atomically."""
    write_arrays(explanation_path(folder, number, found.direction), found)


def read_explanation(path: str | os.PathLike) -> Explanation:
    """Reads what `write_explanation` wrote.

    Raises:
        InputError: If the file is missing or damaged.
    """
    return read_arrays(Path(path), Explanation, _require_sound)


def read_units(folder: str | os.PathLike, flag: str = "explanations") -> ExplainedUnits:
    """Reads the units of a finished run of explain_classifier.

    Args:
        folder: The run folder.
        flag: Name of the flag that named it, for messages.

    Raises:
        InputError: If the run is missing, unfinished or of another command, or its file damaged.
    """
    run = open_run(folder, "explain_classifier", flag)
    require_inside(run.folder / UNITS_NAME, run.folder)
    return read_arrays(run.folder / UNITS_NAME, ExplainedUnits, _require_sound_units)


def read_explanations(
    folder: str | os.PathLike, flag: str = "explanations"
) -> Iterator[Explanation]:
    """The explanations of a finished run, one at a time, unit by unit; see `read_units`.

    Example:
        >>> for found in read_explanations("runs/explain"):
        ...     print(found.unit, found.direction)
        fc2:3 max
        fc2:3 min
        fc2:17 max
        fc2:17 min
    """
    run = open_run(folder, "explain_classifier", flag)
    for path in sorted((run.folder / _FOLDER).glob("*.h5")):
        require_inside(path, run.folder)
        yield read_explanation(path)


def table_row(units: ExplainedUnits, number: int, found: Explanation) -> dict[str, Any]:
    """One row of ``explanations.csv``."""
    statistics = units.statistics
    real = statistics.highest if found.direction == "max" else statistics.lowest
    return {
        "unit": found.unit,
        "direction": found.direction,
        **vars(found.configuration),
        "has_turned": found.has_turned,
        "distance": found.distance,
        "distance_low": found.distance_low,
        "distance_high": found.distance_high,
        "start_mean": float(units.start_responses[number].mean()),
        "mean": float(found.responses.mean()),
        "real_mean": float(real[number, : len(found.responses)].mean()),
        "share_above_half": float(statistics.share_above_half[number]),
        "group": int(units.groups[number]) + 1,
        **{
            f"effect of {label}": float(value)
            for label, value in zip(units.labels, statistics.effect_sizes[number], strict=True)
        },
    }


def write_explanation_table(folder: str | os.PathLike, rows: list[dict[str, Any]]) -> None:
    """Writes ``explanations.csv``, atomically; nothing where there is no row."""
    if rows:
        write_table(Path(folder) / TABLE_NAME, rows)


def _require_sound(columns: Mapping[str, Any], found: Explanation) -> None:
    require_shapes(columns, _SHAPES, {})
    best = found.configuration
    if not (is_number(best.learning_rate) and is_number(best.prior_weight)):
        raise InputError(f"has the configuration {vars(best)}")


def _require_sound_units(columns: Mapping[str, Any], units: ExplainedUnits) -> None:
    require_shapes(columns, _UNITS_SHAPES, {"U": len(units.names)})
    for which in ("highest_song", "lowest_song"):
        if not ((columns[which] >= 0) & (columns[which] < len(units.song_ids))).all():
            raise InputError(f"{which} names songs that it does not hold")
