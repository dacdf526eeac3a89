"""Responses of real excerpts: what collect_responses writes, and how to read it back.

real = read_responses("runs/responses")
real.highest.responses        of the most extreme excerpts, the highest first
real.table()                  a dict for each of the extremes
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from svdam.audio.front_ends import front_end_name
from svdam.core.config import FRONT_END
from svdam.core.files import require_inside
from svdam.core.front_end import FrontEnd, run_front_end
from svdam.core.runs import Run, open_run
from svdam.core.validation import InputError
from svdam.results.array_files import (
    NOT_STORED,
    read_arrays,
    require_shapes,
    table_entry,
    write_arrays,
    write_table,
)
from svdam.results.display import Shown
from svdam.results.examples import AMResults

RESPONSES_NAME = "responses.h5"
EXTREMES_NAME = "extremes.csv"
# M excerpts, K highest and L lowest ones, F frames, B bands.
_SHAPES: dict[str, tuple] = {"responses": ("M",), "song": ("M",), "first_frame": ("M",)}
for _name, _count in (("highest", "K"), ("lowest", "L")):
    for _column in ("responses", "probabilities", "song", "first_frame"):
        _SHAPES[f"{_name}/{_column}"] = (_count,)
    _SHAPES[f"{_name}/excerpts"] = (_count, "F", "B")


@dataclasses.dataclass
class TopExcerpts(Shown):
    """The K real excerpts with the highest (or lowest) responses, the most extreme first.

    Attributes:
        responses: (K,) float32.
        song: (K,) int64 index into ``RealResponses.song_ids``.
        first_frame: (K,) int64.
        excerpts: (K, frames, mels) float32 log-mel.
        probabilities: (K,) float32, probability of the class whose output the response is; None if
            the response is not a single output.
        front_end: Their front end, as the run says.
    """

    responses: np.ndarray
    song: np.ndarray
    first_frame: np.ndarray
    excerpts: np.ndarray
    probabilities: np.ndarray | None = None
    front_end: FrontEnd | None = dataclasses.field(default=None, metadata=NOT_STORED)

    def _shown(self) -> np.ndarray:
        return self.excerpts


@dataclasses.dataclass
class RealResponses:
    """Responses of all excerpts of real recordings (Section 3.4).

    Attributes:
        response: What was measured, e.g. ``logit``.
        song_ids: Names of the songs.
        responses: (M,) float32, in the order of the songs.
        song: (M,) int64 index into ``song_ids``.
        first_frame: (M,) int64.
        highest, lowest: The most extreme excerpts.
        provenance: Settings, versions and model files.
        run: The run folder that they were read from.
    """

    response: str
    song_ids: list[str]
    responses: np.ndarray
    song: np.ndarray
    first_frame: np.ndarray
    highest: TopExcerpts
    lowest: TopExcerpts
    provenance: dict[str, Any]
    run: Run | None = dataclasses.field(default=None, metadata=NOT_STORED)

    def __post_init__(self):
        self.highest.front_end = self.lowest.front_end = self.front_end

    @property
    def front_end(self) -> FrontEnd:
        """Front end of the excerpts."""
        return run_front_end(self.provenance) or FRONT_END

    def extremes(self, direction: str) -> TopExcerpts:
        """The excerpts that examples of a direction, ``max`` or ``min``, are compared with."""
        return self.highest if direction == "max" else self.lowest

    def table(self) -> list[dict[str, Any]]:
        """One row for each of the highest and lowest: where it is, and the numbers it came to."""
        return [
            {
                "set": name,
                "rank": rank,
                "song": self.song_ids[song],
                "start_secs": round(first_frame / self.front_end.frames_per_second, 3),
                "response_name": self.response,
                "response": float(response),
                **table_entry("probability", top.probabilities, rank - 1),
            }
            for name, top in (("highest", self.highest), ("lowest", self.lowest))
            for rank, (song, first_frame, response) in enumerate(
                zip(top.song, top.first_frame, top.responses, strict=True), 1
            )
        ]


def write_responses(folder: str | os.PathLike, responses: RealResponses) -> None:
    """Writes ``responses.h5`` and its extremes as ``extremes.csv``, each atomically."""
    write_arrays(Path(folder) / RESPONSES_NAME, responses)
    write_table(Path(folder) / EXTREMES_NAME, responses.table())


def read_responses(folder: str | os.PathLike, flag: str = "responses") -> RealResponses:
    """Reads a finished run of collect_responses.

    Args:
        folder: The run folder.
        flag: Name of the flag that named it, for messages.

    Raises:
        InputError: If the run is missing, unfinished or of another command, or its file damaged.

    Example:
        >>> real = read_responses("runs/responses")
        >>> bool(real.highest.responses[0] == real.responses.max())
        True
        >>> figure = real.highest.plot()
    """
    run = open_run(folder, "collect_responses", flag)
    path = run.folder / RESPONSES_NAME
    require_inside(path, run.folder)
    return dataclasses.replace(read_arrays(path, RealResponses, _require_sound), run=run)


def compared_responses(real: RealResponses, results: AMResults, count: int = 0) -> np.ndarray:
    """The real responses that examples are compared with.

    Args:
        real: Responses of all real excerpts.
        results: The examples; their direction decides between the highest and the lowest.
        count: How many; 0 for as many as a configuration has examples.

    Returns:
        (count,) responses, the most extreme first; fewer if there are not as many excerpts.

    Raises:
        InputError: If the two measured different responses, or classifiers of two front ends.
    """
    own = results.classifier_front_end
    if own is not None and not own.is_like(real.front_end):
        raise InputError(
            f"--responses: the front ends differ (responses: {front_end_name(real.front_end)}, "
            f"classifier of --grid: {front_end_name(own)}); run collect_responses on records of "
            f"{front_end_name(own)}"
        )
    if real.response != results.response:
        raise InputError(
            f"--responses: holds the response {real.response!r}, but --grid was made for "
            f"{results.response!r}; run collect_responses with --response={results.response}"
        )
    sign = -1 if results.direction == "max" else 1
    return np.sort(sign * real.responses)[: count or results.responses.shape[1]] * sign


def _require_sound(columns: Mapping[str, Any], real: RealResponses) -> None:
    require_shapes(columns, _SHAPES, {}, optional=("probabilities",))
    for name, values in columns.items():
        if (
            name.rsplit("/", 1)[-1] == "song"
            and not ((values >= 0) & (values < len(real.song_ids))).all()
        ):
            raise InputError(f"{name} names songs that it does not hold")
