"""The whole grid of settings as one batch (Section 3.4), in chunks that survive a kill.

27 configurations of 50 examples are 9 pairs of learning rate and prior weight times 50 latents, for
the longest number of steps; shorter ones are snapshots. Latents are split into chunks by the
settings alone. A finished chunk is kept in the run folder, so a run that was stopped computes again
at most the chunk it was at.
"""

import itertools
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from svdam.core.files import atomic_path
from svdam.core.progress import progress
from svdam.core.runs import Run
from svdam.core.validation import InputError
from svdam.explain.maximization import Maximization, Maximizer, Snapshot, latents_from_seeds
from svdam.explain.results import AMResults, Configuration
from svdam.explain.settings import SearchSettings, parse_seeds

_CHUNKS = "chunks"
_SNAPSHOT_FIELDS = ("latents", "examples", "responses", "log_priors")
_HISTORY_FIELDS = ("response_history", "log_prior_history", "gradient_norm_history")


def search(
    settings: SearchSettings, generator: keras.Model, classifier: keras.Model, run: Run
) -> AMResults:
    """Optimises all latents under all configurations.

    Args:
        settings: See `SearchSettings`.
        generator: From latents to the classifier's input.
        classifier: From excerpts to responses.
        run: The open run folder; finished chunks are kept there.

    Returns:
        The results, configurations in the order learning rate, prior weight, steps.

    Raises:
        InputError: If the models do not fit each other, a layer does not exist, or a response is
            not finite.
    """
    engine = Maximizer(
        generator,
        classifier,
        settings.response,
        settings.direction,
        settings.prior,
        settings.keep,
    )
    seeds = parse_seeds(settings.seeds)
    starts = latents_from_seeds(seeds, generator.input_shape[1])
    pairs = [
        (rate, weight) for rate in settings.learning_rates for weight in settings.prior_weights
    ]
    chunks = _split(len(seeds), max(1, settings.chunk_latents // len(pairs)))
    num_steps = max(settings.num_steps)
    total = num_steps * len(pairs) * len(seeds)
    parts = []
    with progress(total=total, description="activation maximization", unit="step") as bar:
        for number, chunk in enumerate(chunks):
            path = run.folder / _CHUNKS / f"{number:05d}.npz"
            size = len(pairs) * (chunk.stop - chunk.start)
            if path.exists():
                bar.update(size * num_steps)
            else:
                result = _run_chunk(engine, settings, starts[chunk], pairs, bar)
                _require_finite(result, settings.response)
                _save_chunk(path, result)
            parts.append(_load_chunk(path, settings.num_steps, len(pairs)))
    return _gather(settings, seeds, pairs, engine.evaluate(starts), parts, run.config)


def remove_chunks(run: Run) -> None:
    """Deletes the kept chunks, once the results are written."""
    for path in (run.folder / _CHUNKS).glob("*.npz"):
        path.unlink()


def _split(count: int, size: int) -> list[slice]:
    """Slices of nearly equal length, none longer than ``size``."""
    edges = np.linspace(0, count, math.ceil(count / size) + 1).round().astype(int)
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def _run_chunk(engine: Maximizer, settings: SearchSettings, starts, pairs, bar) -> Maximization:
    """All pairs for some of the starting latents; rows are pair by pair."""
    rates, weights = (np.repeat(column, len(starts)) for column in zip(*pairs, strict=True))
    batch = np.tile(starts, (len(pairs), 1))
    return engine.run(
        batch,
        rates,
        weights,
        max(settings.num_steps),
        settings.num_steps,
        on_steps=lambda steps: bar.update(steps * len(batch)),
    )


def _require_finite(result: Maximization, response: str) -> None:
    bad = ~np.isfinite(result.response_history).all(axis=0)
    if bad.any():
        raise InputError(
            f"--response: {response} is not finite for {int(bad.sum())} latents; "
            "look at the models, or use smaller learning rates"
        )


def _save_chunk(path: Path, result: Maximization) -> None:
    arrays: dict[str, np.ndarray] = {name: getattr(result, name) for name in _HISTORY_FIELDS}
    for step, snapshot in result.snapshots.items():
        arrays |= {f"{name}_{step}": getattr(snapshot, name) for name in _SNAPSHOT_FIELDS}
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def _load_chunk(path: Path, steps: tuple[int, ...], num_pairs: int) -> dict[str, np.ndarray]:
    """Arrays with the axes (pair, seed, ...), or (pair, steps + 1, seed) for histories."""
    with np.load(path, allow_pickle=False) as file:
        chunk = {name: file[name] for name in file.files}
    for name in _HISTORY_FIELDS:
        rows = chunk[name]
        chunk[name] = rows.reshape(len(rows), num_pairs, -1).swapaxes(0, 1)
    for step in steps:
        for name in _SNAPSHOT_FIELDS:
            values = chunk[f"{name}_{step}"]
            chunk[f"{name}_{step}"] = values.reshape(num_pairs, -1, *values.shape[1:])
    return chunk


def _gather(
    settings: SearchSettings,
    seeds: list[int],
    pairs: list[tuple[float, float]],
    start: Snapshot,
    parts: list[dict[str, np.ndarray]],
    provenance: dict[str, Any],
) -> AMResults:
    def joined(name: str) -> np.ndarray:
        """(configuration, seed, ...), with the steps inside each pair."""
        by_step = [
            np.concatenate([part[f"{name}_{step}"] for part in parts], axis=1)
            for step in settings.num_steps
        ]
        stacked = np.stack(by_step, axis=1)
        return stacked.reshape(-1, *stacked.shape[2:])

    response_history, log_prior_history, gradient_norm_history = (
        np.concatenate([part[name] for part in parts], axis=2) for name in _HISTORY_FIELDS
    )
    return AMResults(
        configurations=[
            Configuration(rate, weight, step)
            for rate, weight in pairs
            for step in settings.num_steps
        ],
        response=settings.response,
        direction=settings.direction,
        seeds=np.array(seeds, np.int64),
        start_latents=start.latents,
        start_examples=start.examples,
        start_responses=start.responses,
        **{name: joined(name) for name in _SNAPSHOT_FIELDS},
        history_rates=np.array([rate for rate, _ in pairs]),
        history_weights=np.array([weight for _, weight in pairs]),
        history_responses=response_history,
        history_log_priors=log_prior_history,
        history_gradient_norms=gradient_norm_history,
        provenance=provenance,
    )
