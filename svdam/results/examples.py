"""Examples of activation maximization: what maximize_activation writes, and how to read it back.

    results = read_results("runs/grid")
    results.responses.mean(axis=1)        arrays, a row for each configuration
    results.table()                       a dict for each example, as csv.DictReader would give it

``results.h5`` is an HDF5 file whose data sets are named and shaped as `AMResults` says; reading it
takes h5py, not TensorFlow.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from svdam.core.files import require_inside
from svdam.core.front_end import FrontEnd, run_front_end
from svdam.core.runs import Run, open_run
from svdam.core.validation import InputError, is_number
from svdam.evaluation.ranking import Configuration
from svdam.results.array_files import (
    NOT_STORED,
    read_arrays,
    require_shapes,
    table_entry,
    write_arrays,
    write_table,
)
from svdam.results.display import Sound, excerpt_figure, excerpt_sound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS_NAME = "results.h5"
TABLE_NAME = "results.csv"
_HISTORY = ("P", "S", "N")
# C configurations, N latents, P trajectories, S steps and the start, F frames, B bands.
_SHAPES: dict[str, tuple] = {
    "seeds": ("N",),
    "start_latents": ("N", ...),
    "start_examples": ("N", "F", "B", 1),
    "start_responses": ("N",),
    "latents": ("C", "N", ...),
    "examples": ("C", "N", "F", "B", 1),
    "responses": ("C", "N"),
    "log_priors": ("C", "N"),
    "history_rates": ("P",),
    "history_weights": ("P",),
    "history_responses": _HISTORY,
    "history_log_priors": _HISTORY,
    "history_gradient_norms": _HISTORY,
    "history_latent_norms": _HISTORY,
    "start_probabilities": ("N",),
    "probabilities": ("C", "N"),
}


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
        run: The run folder that they were read from; None for those of a file alone.
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
    run: Run | None = dataclasses.field(default=None, metadata=NOT_STORED)

    @property
    def front_end(self) -> FrontEnd | None:
        """Front end of the examples; None if it is not known."""
        return run_front_end(self.provenance)

    @property
    def classifier_front_end(self) -> FrontEnd | None:
        """Front end of the classifier, which may hear the examples through a bridge."""
        found = self.provenance.get("inputs", {}).get("classifier_front_end")
        return self.front_end if found is None else FrontEnd(**found)

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
                    **table_entry("start_probability", self.start_probabilities, column),
                    **table_entry("probability", self.probabilities, index, column),
                    "log_prior": float(self.log_priors[index, column]),
                    **{name: float(values[column]) for name, values in last.items()},
                }
                for column, seed in enumerate(self.seeds)
            ]
        return rows

    def plot(
        self,
        which: Sequence[int] | None = None,
        configurations: Sequence[int] = (0,),
        *,
        front_end: FrontEnd | None = None,
    ) -> "Figure":
        """Draws spectrograms before optimization and after it, each with its response.

        Args:
            which: Columns: positions of the latents; None for the first four.
            configurations: Rows below the start: positions of the configurations.
            front_end: Front end of the examples; by default what the run says.

        Returns:
            The figure, which a notebook shows.

        Raises:
            InputError: If there are no such examples, or they are of another front end.

        Example:
            >>> figure = results.plot(which=[0, 3], configurations=[0, 1])
            >>> figure.savefig("examples.png")
        """
        rows = [("start", self.start_examples, self.start_responses)]
        for index in configurations:
            self._require_configuration(index)
            name = str(self.configurations[index])
            rows.append((name, self.examples[index], self.responses[index]))
        return excerpt_figure(rows, which, front_end or self.front_end)

    def audio(
        self, index: int = 0, configuration: int = 0, *, front_end: FrontEnd | None = None
    ) -> Sound:
        """Resynthesises an example; see `svdam.audio.inversion`.

        Args:
            index: Position of the latent.
            configuration: Position of the configuration.
            front_end: Front end of the examples; by default what the run says.

        Returns:
            The sound, for which a notebook shows a player.

        Raises:
            InputError: If there is no such example, or it is of another front end.

        Example:
            >>> sound = results.audio(3, configuration=1)
            >>> sound.sample_rate
            22050
        """
        self._require_configuration(configuration)
        return excerpt_sound(self.examples[configuration], index, front_end or self.front_end)

    def _require_configuration(self, index: int) -> None:
        if not 0 <= index < len(self.configurations):
            raise InputError(f"configuration {index}: expected 0 to {len(self.configurations) - 1}")


def write_results(folder: str | os.PathLike, results: AMResults) -> None:
    """Writes ``results.h5`` and its table as ``results.csv``, each atomically."""
    write_arrays(Path(folder) / RESULTS_NAME, results)
    write_table(Path(folder) / TABLE_NAME, results.table())


def read_results(
    folder: str | os.PathLike, flag: str = "grid", make: str | None = None
) -> AMResults:
    """Reads a finished run of maximize_activation.

    Args:
        folder: The run folder.
        flag: Name of the flag that named it, for messages.
        make: Command line that makes such a folder, for messages.

    Returns:
        The results, with their ``run``.

    Raises:
        InputError: If the run is missing, unfinished or of another command, or its file damaged.

    Example:
        >>> results = read_results("runs/grid")
        >>> best = results.responses.mean(axis=1).argmax()
        >>> results.configurations[best]
        Configuration(learning_rate=0.1, prior_weight=0.01, num_steps=20)
        >>> figure = results.plot(configurations=[best])
    """
    run = open_run(folder, "maximize_activation", flag, make)
    require_inside(run.folder / RESULTS_NAME, run.folder)
    return dataclasses.replace(read_results_file(run.folder / RESULTS_NAME), run=run)


def read_results_file(path: str | os.PathLike) -> AMResults:
    """Reads a file that `write_results` wrote, wherever it lies; see `read_results`."""
    return read_arrays(Path(path), AMResults, _require_sound)


def _require_sound(columns: Mapping[str, Any], results: AMResults) -> None:
    sizes = {"C": len(results.configurations)}
    require_shapes(columns, _SHAPES, sizes, optional=("start_probabilities", "probabilities"))
    known = set(zip(columns["history_rates"], columns["history_weights"], strict=True))
    for one in results.configurations:
        if not (
            is_number(one.learning_rate)
            and is_number(one.prior_weight)
            and isinstance(one.num_steps, int)
            and (one.learning_rate, one.prior_weight) in known
            and 0 < one.num_steps < columns["history_responses"].shape[1]
        ):
            raise InputError(f"has no history of its configuration {one.__dict__}")
