"""What the explanation stages write, and how to read it back. Needs h5py, not TensorFlow.

    results = read_results("runs/grid")
    results.responses.mean(axis=1)        arrays, a row for each configuration
    results.table()                       a dict for each example, as csv.DictReader would give it

``results.h5`` (maximize_activation) and ``responses.h5`` (collect_responses) are HDF5 files whose
data sets are named and shaped as the dataclasses below say.
"""

import csv
import dataclasses
import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from svdam.core.config import FRONT_END
from svdam.core.files import atomic_path, atomic_write, require_inside
from svdam.core.hdf5 import check_hdf5
from svdam.core.runs import Run, open_run
from svdam.core.validation import InputError, one_line
from svdam.results.checks import require_am_columns, require_real_columns

RESULTS_NAME = "results.h5"
RESPONSES_NAME = "responses.h5"
TABLE_NAME = "results.csv"
EXTREMES_NAME = "extremes.csv"
MAX_BYTES = 4 << 30
"""Of a results file, unpacked; the paper's grid takes 60 MB."""


@dataclasses.dataclass(frozen=True, order=True)
class Configuration:
    """One setting of the search: learning rate, prior weight lambda, number of steps (Table 5)."""

    learning_rate: float
    prior_weight: float
    num_steps: int

    def __str__(self):
        return f"rate {self.learning_rate:g}, lambda {self.prior_weight:g}, {self.num_steps} steps"


@dataclasses.dataclass
class AMResults:
    """Activation maximization of C configurations from the same N starting latents.

    Attributes:
        configurations: The C configurations.
        response: What was maximized or minimized, as ``logit``.
        direction: ``max`` or ``min``.
        seeds: (N,) int64 seeds of the starting latents, or their rows in a file of latents.
        start_latents: (N, n) float32; excerpts, where no generator was used.
        start_examples: (N, frames, mels, 1) float32, the generator's output before the first step.
        start_responses: (N,) float32.
        latents: (C, N, n) float32.
        examples: (C, N, frames, mels, 1) float32.
        responses: (C, N) float32.
        log_priors: (C, N) float32, log p(z).
        history_rates, history_weights: (P,) float64, learning rate and prior weight of each
            trajectory; configurations that differ only in their steps share one.
        history_responses: (P, longest + 1, N) float32, responses before and after every step.
        history_log_priors: likewise.
        history_gradient_norms: likewise, Euclidean norm of the objective's gradient.
        history_latent_norms: likewise, Euclidean norm of the latents.
        provenance: Settings, versions and model files.
        start_probabilities: (N,) float32, probability of the class whose output the response is, at
            the start. None if the response is not a single output.
        probabilities: (C, N) float32, of the examples; likewise.
    """

    configurations: list[Configuration]
    response: str
    direction: str
    seeds: np.ndarray
    start_latents: np.ndarray
    start_examples: np.ndarray
    start_responses: np.ndarray
    latents: np.ndarray
    examples: np.ndarray
    responses: np.ndarray
    log_priors: np.ndarray
    history_rates: np.ndarray
    history_weights: np.ndarray
    history_responses: np.ndarray
    history_log_priors: np.ndarray
    history_gradient_norms: np.ndarray
    history_latent_norms: np.ndarray
    provenance: dict[str, Any]
    start_probabilities: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    def history(self, index: int, of: str = "responses") -> np.ndarray:
        """(num_steps + 1, N) values of configuration ``index``, from the start to its end.

        Args:
            index: Which configuration.
            of: ``responses``, ``log_priors``, ``gradient_norms`` or ``latent_norms``.
        """
        configuration = self.configurations[index]
        (matches,) = np.nonzero(
            (self.history_rates == configuration.learning_rate)
            & (self.history_weights == configuration.prior_weight)
        )
        return getattr(self, f"history_{of}")[matches[0], : configuration.num_steps + 1]

    def table(self) -> list[dict[str, Any]]:
        """One row for each example: its configuration, its seed and the numbers it came to.

        Norms are those after the last step; with ``--keep=best`` the others belong to the best.
        """
        rows: list[dict[str, Any]] = []
        for index, configuration in enumerate(self.configurations):
            last = {
                name: self.history(index, f"{name}s")[-1]
                for name in ("gradient_norm", "latent_norm")
            }
            rows += [
                {
                    "configuration": index,
                    **dataclasses.asdict(configuration),
                    "response_name": self.response,
                    "direction": self.direction,
                    "seed": int(seed),
                    "start_response": float(self.start_responses[column]),
                    "response": float(self.responses[index, column]),
                    **_entry("start_probability", self.start_probabilities, column),
                    **_entry("probability", self.probabilities, index, column),
                    "log_prior": float(self.log_priors[index, column]),
                    **{name: float(values[column]) for name, values in last.items()},
                }
                for column, seed in enumerate(self.seeds)
            ]
        return rows


def _entry(name: str, values: np.ndarray | None, *where: int) -> dict[str, float]:
    """A column of a table; none if there are no values."""
    return {} if values is None else {name: float(values[where])}


@dataclasses.dataclass
class TopExcerpts:
    """The K real excerpts with the highest (or lowest) responses, the most extreme first.

    Attributes:
        responses: (K,) float32.
        song: (K,) int64 index into ``RealResponses.song_ids``.
        first_frame: (K,) int64.
        excerpts: (K, frames, mels) float32 log-mel.
        probabilities: (K,) float32, probability of the class whose output the response is; None if
            the response is not a single output.
    """

    responses: np.ndarray
    song: np.ndarray
    first_frame: np.ndarray
    excerpts: np.ndarray
    probabilities: np.ndarray | None = None


@dataclasses.dataclass
class RealResponses:
    """Responses of all excerpts of real recordings (Section 3.4).

    Attributes:
        response: What was measured, as ``logit``.
        song_ids: Names of the songs.
        responses: (M,) float32, in the order of the songs.
        song: (M,) int64 index into ``song_ids``.
        first_frame: (M,) int64.
        highest, lowest: The N most extreme excerpts.
        provenance: Settings, versions and model files.
    """

    response: str
    song_ids: list[str]
    responses: np.ndarray
    song: np.ndarray
    first_frame: np.ndarray
    highest: TopExcerpts
    lowest: TopExcerpts
    provenance: dict[str, Any]

    def table(self) -> list[dict[str, Any]]:
        """One row for each of the highest and lowest: where it is, and the numbers it came to."""
        return [
            {
                "set": name,
                "rank": rank,
                "song": self.song_ids[song],
                "start_secs": round(first_frame / FRONT_END.frames_per_second, 3),
                "response_name": self.response,
                "response": float(response),
                **_entry("probability", top.probabilities, rank - 1),
            }
            for name, top in (("highest", self.highest), ("lowest", self.lowest))
            for rank, (song, first_frame, response) in enumerate(
                zip(top.song, top.first_frame, top.responses, strict=True), 1
            )
        ]


def write_results(folder: str | os.PathLike, results: AMResults) -> None:
    """Writes ``results.h5`` and its table as ``results.csv``, each atomically."""
    _write(Path(folder) / RESULTS_NAME, results)
    _write_table(Path(folder) / TABLE_NAME, results.table())


def write_responses(folder: str | os.PathLike, responses: RealResponses) -> None:
    """Writes ``responses.h5`` and its extremes as ``extremes.csv``, each atomically."""
    _write(Path(folder) / RESPONSES_NAME, responses)
    _write_table(Path(folder) / EXTREMES_NAME, responses.table())


def read_results(folder: str | os.PathLike, flag: str = "grid") -> AMResults:
    """Reads the results of a finished run of maximize_activation.

    Raises:
        InputError: If the run is missing, unfinished or of another command, or its file damaged.
    """
    run = open_run(folder, "maximize_activation", flag)
    return _read_of_run(run, RESULTS_NAME, AMResults)


def read_responses(folder: str | os.PathLike, flag: str = "responses") -> RealResponses:
    """Reads the results of a finished run of collect_responses; see `read_results`."""
    run = open_run(folder, "collect_responses", flag)
    return _read_of_run(run, RESPONSES_NAME, RealResponses)


def read_results_file(path: str | os.PathLike) -> AMResults:
    """Reads a file that `write_results` wrote, wherever it lies; see `read_results`."""
    return _read(Path(path), AMResults)


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _write(path: Path, value: Any) -> None:
    columns = _columns(value)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["kind"] = type(value).__name__
        file.attrs["sha256"] = _digest(columns)
        for name, item in columns.items():
            large = isinstance(item, np.ndarray) and item.size > 1000
            options = {"compression": "gzip", "compression_opts": 4} if large else {}
            file.create_dataset(name, data=item, **options)


def _columns(value: Any, prefix: str = "") -> dict[str, Any]:
    """What a results file holds of ``value``: arrays as they are, everything else as JSON."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if item is None:
            continue
        if isinstance(item, TopExcerpts):
            found |= _columns(item, f"{prefix}{field.name}/")
        elif isinstance(item, np.ndarray):
            found[prefix + field.name] = item
        else:
            if field.name == "configurations":
                item = [dataclasses.asdict(configuration) for configuration in item]
            found[prefix + field.name] = json.dumps(item, ensure_ascii=False)
    return found


def _digest(columns: dict[str, Any]) -> str:
    """SHA-256 of a file's values: HDF5 itself does not notice a flipped bit."""
    digest = hashlib.sha256()
    for name, item in sorted(columns.items()):
        if isinstance(item, str):
            digest.update(json.dumps([name]).encode() + item.encode())
        else:
            digest.update(json.dumps([name, item.dtype.str, item.shape]).encode())
            digest.update(np.ascontiguousarray(item).data)
    return digest.hexdigest()


def _read_of_run(run: Run, name: str, kind: type) -> Any:
    require_inside(run.folder / name, run.folder)
    return _read(run.folder / name, kind)


def _read(path: Path, kind: type) -> Any:
    check_hdf5(path, f"{path}:", MAX_BYTES)
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("kind")
            if found != kind.__name__:
                raise InputError(f"it holds {found}, expected {kind.__name__}")
            value = _read_fields(file, kind)
            checksum = file.attrs.get("sha256")
        columns = _columns(value)
        if checksum is None:
            warnings.warn(f"{path}: has no checksum, as those of older versions", stacklevel=4)
        elif checksum != _digest(columns):
            raise InputError("its values do not have their checksum")
        if kind is AMResults:
            require_am_columns(columns, value.configurations)
        else:
            require_real_columns(columns, len(value.song_ids))
        return value
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: is damaged, or no such results ({one_line(error)})") from error


def _read_fields(group: h5py.Group, kind: type) -> Any:
    """The reverse of `_columns`."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = field.name
        if field.default is None and name not in group:
            continue
        if field.type is TopExcerpts:
            values[name] = _read_fields(group[name], TopExcerpts)
        elif field.type is np.ndarray or field.default is None:
            values[name] = group[name][()]
        else:
            values[name] = json.loads(group[name].asstr()[()])
            if name == "configurations":
                values[name] = [Configuration(**one) for one in values[name]]
    return kind(**values)
