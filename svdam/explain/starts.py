"""Where a search starts: latents drawn from seeds, or read from a file. No TensorFlow."""

import re
from collections.abc import Sequence

import numpy as np

from svdam.core.validation import InputError, require_finite
from svdam.results.latents import read_latents

_DEFAULT_SEEDS = "0-49"


def latents_from_seeds(seeds: Sequence[int], shape: int | tuple[int, ...]) -> np.ndarray:
    """Starting latents: seed s gives ``RandomState(s).normal(size=shape)``, as the released code.

    Returns:
        (seeds, *shape) float64.

    Example:
        >>> latents_from_seeds(range(50), 128).shape
        (50, 128)
        >>> latents_from_seeds([0], 3).round(2)
        array([[1.76, 0.4 , 0.98]])
    """
    return np.stack([np.random.RandomState(seed).normal(size=shape) for seed in seeds])


def parse_seeds(text: str) -> list[int]:
    """Seeds from ``0-49`` or ``3,5,8-11``.

    Raises:
        InputError: If the text is none of these, or a seed comes twice or does not fit 32 bits.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:\s*-\s*(\d{1,10}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 2**32 or last - first >= 1_000_000:
            raise InputError(
                f"--seeds: cannot read {part!r}; expected a list like 0-49 or 3,5,8-11"
            )
        seeds.extend(range(first, last + 1))
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds: {text!r} names a seed twice")
    return seeds


def starting_latents(
    seeds: str | None, path: str | None, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The latents that ``--seeds`` and ``--latents`` name.

    Args:
        seeds: Seeds as ``0-49``; with a file, numbers of its rows. None for all.
        path: See `svdam.results.latents.read_latents`; None to draw from the seeds.
        shape: Of one latent.

    Returns:
        (N, *shape) float64 latents, and the (N,) int64 seeds or rows that they came from.

    Raises:
        InputError: If the file is damaged, of another shape, or has not as many rows.
    """
    if path is None:
        numbers = parse_seeds(seeds or _DEFAULT_SEEDS)
        return latents_from_seeds(numbers, shape), np.array(numbers, np.int64)
    latents = read_latents(path)
    if latents.shape[1:] != shape or not len(latents):
        expected = ", ".join(map(str, ("N", *shape)))
        raise InputError(
            f"--latents: {path} holds latents of shape {latents.shape}, expected ({expected})"
        )
    require_finite(latents, f"--latents: {path}")
    rows = parse_seeds(seeds) if seeds else range(len(latents))
    if max(rows) >= len(latents):
        raise InputError(
            f"--seeds: names row {max(rows)}, but --latents={path} holds {len(latents)}; "
            f"expected rows from 0 to {len(latents) - 1}"
        )
    return latents[list(rows)], np.array(rows, np.int64)
