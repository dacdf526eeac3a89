"""Where a search starts: latents drawn from seeds, or read from a file. No TensorFlow."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from svdam.core.hdf5 import check_hdf5
from svdam.core.validation import InputError, one_line, require_finite
from svdam.results.array_files import MAX_BYTES
from svdam.results.examples import RESULTS_NAME, read_results_file

_DEFAULT_SEEDS = "0-49"
_MAX_VALUES = 1 << 27  # A gibibyte.


def latents_from_seeds(seeds: Sequence[int], shape: int | tuple[int, ...]) -> np.ndarray:
    """Starting latents: seed s gives ``RandomState(s).normal(size=shape)``, as the released code.

    Returns:
        (seeds, *shape) float64.
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
        path: See `read_latents`; None to draw from the seeds.
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


def latents_path(path: str | os.PathLike) -> Path:
    """The file that ``--latents`` names: itself, or the results in a run folder."""
    path = Path(path)
    path = path / RESULTS_NAME if path.is_dir() else path
    if not path.is_file():
        raise InputError(
            f"--latents: {path} does not exist; expected a .npy file, or the {RESULTS_NAME} of an "
            "earlier run of maximize_activation"
        )
    return path


def read_latents(path: str | os.PathLike) -> np.ndarray:
    """Reads (N, ...) float64 latents from a ``.npy`` file or from the results of a run.

    Raises:
        InputError: If the file is missing, damaged, or holds several configurations.
    """
    path = latents_path(path)
    try:
        if path.suffix != ".npy":
            return _latents_of_results(path)
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise InputError(f"--latents: {path} is an .npz archive, expected one array (.npy)")
        if values.dtype.kind not in "fiu" or values.ndim < 2 or values.size > _MAX_VALUES:
            raise InputError(
                f"--latents: {path} holds {values.dtype} of shape {values.shape}, expected numbers "
                "of shape (N, latent size)"
            )
        return np.array(values, np.float64)
    except (OSError, ValueError, KeyError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--latents: {path} cannot be read ({one_line(error)})") from error


def _latents_of_results(path: Path) -> np.ndarray:
    check_hdf5(path, f"--latents: {path}", MAX_BYTES)
    with h5py.File(path, "r") as file:
        latents = read_results_file(path).latents if "kind" in file.attrs else file["latents"]
        if len(latents) != 1:
            raise InputError(
                f"--latents: {path} holds {len(latents)} configurations; expected one: make a run "
                "with one, or save the rows you want as a .npy file"
            )
        return latents[0].astype(np.float64)
