"""What a search consists of: its state between two steps, and what it has found."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from svdam.results.display import Shown

HISTORIES = (
    "response_history",
    "log_prior_history",
    "gradient_norm_history",
    "latent_norm_history",
)
"""What a run records of every state it goes through."""

OnSteps = Callable[[int, dict[str, np.ndarray]], None]
"""What is told of the steps of a run; see `maximize`."""


@dataclasses.dataclass
class Snapshot(Shown):
    """Where a batch of latents stands after some steps.

    Attributes:
        latents: (batch, n).
        examples: (batch, frames, mels, 1) log-mel, the generator's output.
        responses: (batch,).
        log_priors: (batch,) log p(z), not weighted.
    """

    latents: np.ndarray
    examples: np.ndarray
    responses: np.ndarray
    log_priors: np.ndarray


@dataclasses.dataclass
class Maximization(Snapshot):
    """The result of `maximize`: the state after the last step, and the way there.

    Attributes:
        response_history: (num_steps + 1, batch); row 0 is before the first step.
        log_prior_history: (num_steps + 1, batch).
        gradient_norm_history: (num_steps + 1, batch) Euclidean norm of the objective's gradient;
            the last row is of the state after the last step.
        latent_norm_history: (num_steps + 1, batch) Euclidean norm of the latents.
        snapshots: State after each of the steps asked for.
    """

    response_history: np.ndarray
    log_prior_history: np.ndarray
    gradient_norm_history: np.ndarray
    latent_norm_history: np.ndarray
    snapshots: dict[int, Snapshot]


class SearchState(NamedTuple):
    """Where a search stands. Every array, or tensor, has one row per latent.

    Attributes:
        latents: (batch, n).
        memory: Memory of the optimizer.
        last_seen: (batch, n) latents whose response is the last one in the history.
        best_latents: (batch, n) latents with the best response so far.
        best_gains: (batch,) that response, or minus it when minimizing.
        rates: (batch,) learning rates.
        weights: (batch,) weights of the prior.
        signs: (batch,) 1 when maximizing, -1 when minimizing.
        places: (batch,) int32, which response is driven.
    """

    latents: Any
    memory: tuple[Any, ...]
    last_seen: Any
    best_latents: Any
    best_gains: Any
    rates: Any
    weights: Any
    signs: Any
    places: Any


def named_history(history: np.ndarray) -> dict[str, np.ndarray]:
    """The histories of a run by name, from an array with one after the other."""
    return dict(zip(HISTORIES, history, strict=True))
