"""Latents from a file: an array, or those that an earlier run of maximize_activation came to."""

import os
from pathlib import Path

import h5py
import numpy as np

from svdam.core.hdf5 import check_hdf5
from svdam.core.validation import InputError, one_line
from svdam.results.array_files import MAX_BYTES
from svdam.results.examples import RESULTS_NAME, read_results_file

_MAX_VALUES = 1 << 27  # A gibibyte.


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
                f"--latents: {path} holds {len(latents)} configurations; expected one: run a "
                "single configuration, or save the rows you want as a .npy file"
            )
        return latents[0].astype(np.float64)
