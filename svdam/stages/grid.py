"""The whole grid of configurations as one batch (Section 3.4), in chunks that survive a kill.

27 configurations of 50 examples are 9 pairs of learning rate and prior weight times 50 latents, for
the longest number of steps; shorter ones are snapshots. These 450 trajectories are split into
chunks by the settings and the models alone. A finished chunk is kept in the run folder, so a run
that was stopped computes again at most the chunk it was at.
"""

import contextlib
import dataclasses
import itertools
import math
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from svdam.core.distribution import is_chief
from svdam.core.interruption import Interruption
from svdam.core.npz import read_kept, read_npz, write_npz
from svdam.core.progress import progress
from svdam.core.runs import Run
from svdam.core.validation import InputError
from svdam.evaluation.ranking import Configuration
from svdam.explain.maximization import Maximizer
from svdam.explain.replicas import Replicas
from svdam.explain.search_states import HISTORIES, Maximization, Snapshot
from svdam.models.search_memory import latents_at_once
from svdam.stages.example_summaries import LiveSummaries

LARGEST_CHUNK = 150
"""Latents of a chunk, where memory allows more: a larger batch is no faster."""

_CHUNKS = "chunks"
_SNAPSHOT_FIELDS = ("latents", "examples", "responses", "log_priors")


def search(
    engine: Maximizer,
    starts: np.ndarray,
    learning_rates: Sequence[float],
    prior_weights: Sequence[float],
    num_steps: Sequence[int],
    run: Run,
    size: int,
    response: str,
    strategy: tf.distribute.Strategy | None = None,
) -> dict[str, Any] | None:
    """Optimizes all latents under all configurations.

    Args:
        engine: What to optimize.
        starts: (N, ...) starting latents.
        learning_rates: Learning rates.
        prior_weights: Weights of the prior.
        num_steps: Numbers of steps.
        run: The run folder; finished chunks are kept there.
        size: Latents of a chunk, at most; see `chunk_size`.
        response: Name of the response, for messages.
        strategy: Splits the latents of each chunk over devices; models were loaded in its scope.

    Returns:
        Configurations, in the order learning rate, prior weight, steps, and the arrays of an
        `AMResults`. None in the processes of multi_worker that are not the chief.

    Raises:
        InputError: If a response is not finite.
    """
    pairs = list(itertools.product(learning_rates, prior_weights))
    chunks = split_evenly(len(pairs) * len(starts), size)
    paths = [run.folder / _CHUNKS / f"{number:05d}.npz" for number in range(len(chunks))]
    chunks_by_path = dict(zip(paths, chunks, strict=True))
    _search_chunks(engine, starts, pairs, num_steps, chunks_by_path, run, response, strategy)
    if strategy is not None and not is_chief(strategy):
        return None
    parts = [read_npz(path) for path in paths]
    return _gather(pairs, num_steps, engine.evaluate(starts), parts)


def chunk_size(
    models: list[keras.Model],
    num_latents: int,
    grid: tuple[Sequence[float], Sequence[float], Sequence[int]],
    max_memory_gib: float,
) -> int:
    """Latents of a chunk, so that a run stays under a bound of memory.

    Args:
        models: Generator, if there is one, and classifier.
        num_latents: Latents of a configuration.
        grid: Learning rates, prior weights and numbers of steps.
        max_memory_gib: Bound for the whole process, in GiB.

    Raises:
        InputError: If there is no room for a single one.
    """
    example = math.prod(size or 1 for size in models[-1].input_shape[1:])
    # Twice the examples: once as chunks, once as the whole.
    results_bytes = 2 * 4 * math.prod(map(len, grid)) * num_latents * example
    return min(latents_at_once(models, max_memory_gib, results_bytes), LARGEST_CHUNK)


def remove_chunks(run: Run) -> None:
    """Deletes the kept chunks, once the results are written."""
    shutil.rmtree(run.folder / _CHUNKS, ignore_errors=True)


def split_evenly(count: int, size: int) -> list[slice]:
    """Slices of nearly equal length, none longer than ``size``."""
    edges = np.linspace(0, count, math.ceil(count / size) + 1).round().astype(int)
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def _search_chunks(
    engine: Maximizer,
    starts: np.ndarray,
    pairs: list[tuple[float, float]],
    snapshot_steps: Sequence[int],
    chunks: dict[Path, slice],
    run: Run,
    response: str,
    strategy: tf.distribute.Strategy | None,
) -> None:
    """Computes the chunks that are not in the run folder yet; trajectories go pair by pair."""
    num_steps = max(snapshot_steps)
    rates, weights = (np.repeat(column, len(starts)) for column in zip(*pairs, strict=True))
    latents = np.tile(starts, (len(pairs), *[1] * (starts.ndim - 1)))
    writes = strategy is None or is_chief(strategy)
    done = np.array([read_kept(path) is not None for path in chunks], np.int64)
    done = Replicas(strategy).agreed(done)
    total = num_steps * len(latents)
    with (
        Interruption() as interruption,
        progress(total=total, description="searching", unit="latent-step") as bar,
    ):
        for (path, chunk), is_done in zip(chunks.items(), done, strict=True):
            view = _View(bar, interruption, chunk, num_steps, len(latents))
            if is_done:
                view.show(num_steps)
                continue
            with _live_summaries(run, chunk, num_steps, writes) as view.live:
                result = engine.run(
                    latents[chunk],
                    rates[chunk],
                    weights[chunk],
                    num_steps,
                    snapshot_steps,
                    on_steps=view.show,
                )
            _require_finite(result, response)
            if writes:
                run.require_present()
                _save_chunk(path, result)


@dataclasses.dataclass
class _View:
    """What is seen of a chunk while it is searched; and where Ctrl-C is heard."""

    bar: Any
    interruption: Interruption
    chunk: slice
    num_steps: int
    num_latents: int  # Of all chunks.
    live: LiveSummaries | None = None

    def show(self, steps: int, history: dict[str, np.ndarray] | None = None) -> None:
        """Moves the bar by ``steps`` of each latent of the chunk."""
        self.interruption.raise_if_requested()
        if self.live is not None and history is not None:
            self.live.add(history)
        size = self.chunk.stop - self.chunk.start
        self.bar.update(steps * size)
        step = (self.bar.n - self.chunk.start * self.num_steps) // size
        place = f"latent {self.chunk.stop} of {self.num_latents}, step {step} of {self.num_steps}"
        self.bar.set_postfix_str(place, refresh=False)


def _live_summaries(
    run: Run, chunk: slice, num_steps: int, writes: bool
) -> contextlib.AbstractContextManager[LiveSummaries | None]:
    """Where TensorBoard sees the chunk meanwhile; None in processes that do not write."""
    if not writes:
        return contextlib.nullcontext()
    name = f"optimizing latents {chunk.start + 1} to {chunk.stop}"
    return LiveSummaries(run.tensorboard / name, num_steps)


def _require_finite(result: Maximization, response: str) -> None:
    bad = ~np.isfinite(result.response_history).all(axis=0)
    if bad.any():
        raise InputError(
            f"--response: {response} is not finite for {int(bad.sum())} latents; "
            "check the models, or use smaller learning rates"
        )
    if (result.gradient_norm_history[0] == 0).all():
        warnings.warn(
            f"--response: the gradient of {response} is 0 at every starting latent; the "
            "optimization cannot move",
            stacklevel=2,
        )


def _save_chunk(path: Path, result: Maximization) -> None:
    arrays: dict[str, np.ndarray] = {name: getattr(result, name) for name in HISTORIES}
    for step, snapshot in result.snapshots.items():
        arrays |= {f"{name}_{step}": getattr(snapshot, name) for name in _SNAPSHOT_FIELDS}
    write_npz(path, arrays)


def _gather(
    pairs: list[tuple[float, float]],
    num_steps: Sequence[int],
    start: Snapshot,
    parts: list[dict[str, np.ndarray]],
) -> dict[str, Any]:
    """Joins the chunks."""
    num_latents = len(start.latents)

    def joined(name: str) -> np.ndarray:
        """(configuration, seed, ...), with the steps inside each pair."""
        by_step = []
        for step in num_steps:
            rows = np.concatenate([part[f"{name}_{step}"] for part in parts])
            by_step.append(rows.reshape(len(pairs), num_latents, *rows.shape[1:]))
        stacked = np.stack(by_step, axis=1)
        return stacked.reshape(-1, *stacked.shape[2:])

    def history(name: str) -> np.ndarray:
        """(pair, steps + 1, seed)."""
        rows = np.concatenate([part[name] for part in parts], axis=1)
        return rows.reshape(len(rows), len(pairs), num_latents).swapaxes(0, 1)

    return {
        "configurations": [
            Configuration(rate, weight, step) for rate, weight in pairs for step in num_steps
        ],
        "start_latents": start.latents,
        "start_examples": start.examples,
        "start_responses": start.responses,
        **{name: joined(name) for name in _SNAPSHOT_FIELDS},
        "history_rates": np.array([rate for rate, _ in pairs]),
        "history_weights": np.array([weight for _, weight in pairs]),
        "history_responses": history("response_history"),
        "history_log_priors": history("log_prior_history"),
        "history_gradient_norms": history("gradient_norm_history"),
        "history_latent_norms": history("latent_norm_history"),
    }
