"""Dataclasses of arrays as HDF5 files, with a data set for each field.

Arrays are stored as they are, everything else as JSON; a dataclass inside another one is a group.
HDF5 itself does not notice a flipped bit, so each file starts with a checksum of itself.
"""

import csv
import dataclasses
import hashlib
import io
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from svdam.core.files import atomic_path, atomic_write
from svdam.core.hdf5 import SEAL_BYTES, check_hdf5, seal_hdf5
from svdam.core.validation import InputError, one_line

MAX_BYTES = 4 << 30
"""Largest unpacked size of a file; the paper's grid takes 60 MB."""

NOT_STORED = {"stored": False}
"""Metadata of fields that are left out of the file."""

Columns = dict[str, Any]
"""Values of a file by name: arrays, or text for what is stored as JSON."""

_INTEGERS = (
    *("seeds", "song", "first_frame", "steps", "way_steps", "order", "groups", "bin_counts"),
    *("highest_song", "lowest_song", "highest_first_frame", "lowest_first_frame"),
)


def write_arrays(path: Path, value: Any) -> None:
    """Writes a dataclass as an HDF5 file, atomically.

    The file is made in memory: after a full disk, the HDF5 library would crash this process later.
    """
    content = io.BytesIO()
    with h5py.File(content, "w", userblock_size=SEAL_BYTES) as file:
        file.attrs["kind"] = type(value).__name__
        for name, item in _columns(value).items():
            large = isinstance(item, np.ndarray) and item.size > 1000
            options = {"compression": "gzip", "compression_opts": 4} if large else {}
            file.create_dataset(name, data=item, **options)
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(content.getbuffer())
        seal_hdf5(temporary)


def read_arrays(path: Path, kind: type, check: Callable[[Columns, Any], None]) -> Any:
    """Reads a dataclass from an HDF5 file.

    Args:
        path: The file.
        kind: The dataclass.
        check: Raises an InputError if the values, as columns and as a ``kind``, do not fit.

    Raises:
        InputError: If the file is missing, damaged or holds something else.
    """
    check_hdf5(path, f"{path}:", MAX_BYTES, sealed=True)
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("kind")
            if found != kind.__name__:
                raise InputError(f"it holds {found}, expected {kind.__name__}")
            value = _read_fields(file, kind)
        columns = _columns(value)
        check(columns, value)
        return value
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged, or does not contain such results ({one_line(error)})"
        ) from error


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows that have the same columns as CSV, atomically."""
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def fingerprint(values: np.ndarray) -> str:
    """SHA-256 of an array's values."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def table_entry(name: str, values: np.ndarray | None, *where: int) -> dict[str, float]:
    """A column of a table's row; none if there are no values."""
    return {} if values is None else {name: float(values[where])}


def require_shapes(
    columns: Mapping[str, Any],
    shapes: Mapping[str, tuple],
    sizes: dict[str, int],
    optional: tuple[str, ...] = (),
) -> None:
    """Checks dtypes, and that the shapes of a file's arrays fit each other.

    Args:
        columns: The values.
        shapes: Shape of each array. A dimension is a letter that means the same size in all arrays
            of a file, a number, or ``...`` for any dimensions.
        sizes: What is known of the letters.
        optional: Names of arrays that may be missing, without their group.

    Raises:
        InputError: Saying what does not fit.
    """
    for name, expected in shapes.items():
        base = name.rsplit("/", 1)[-1]
        if base in optional and name not in columns:
            continue
        values = columns[name]
        kinds = "iu" if base in _INTEGERS else "f"
        if not isinstance(values, np.ndarray) or values.dtype.kind not in kinds:
            raise InputError(f"{name} holds {getattr(values, 'dtype', 'text')}")
        fixed = [size for size in expected if size is not ...]
        fits = len(values.shape) >= len(fixed) and (
            ... in expected or len(values.shape) == len(fixed)
        )
        for size, found in zip(fixed, values.shape, strict=False):
            wanted = sizes.setdefault(size, found) if isinstance(size, str) else size
            fits = fits and found == wanted and found > 0
        if not fits:
            raise InputError(f"{name} has shape {values.shape}, which does not fit the others")


def _stored_fields(kind: Any) -> Iterator[dataclasses.Field]:
    for field in dataclasses.fields(kind):
        if field.metadata.get("stored", True):
            yield field


def _columns(value: Any, prefix: str = "") -> Columns:
    found: Columns = {}
    for field in _stored_fields(value):
        item, name = getattr(value, field.name), prefix + field.name
        if item is None:
            continue
        if dataclasses.is_dataclass(item):
            found |= _columns(item, f"{name}/")
        elif isinstance(item, np.ndarray):
            found[name] = item
        else:
            found[name] = json.dumps(item, ensure_ascii=False, default=dataclasses.asdict)
    return found


def _read_fields(group: h5py.Group, kind: type) -> Any:
    """The reverse of `_columns`."""
    values: dict[str, Any] = {}
    for field in _stored_fields(kind):
        name, of = field.name, field.type
        if field.default is None and name not in group:
            continue
        if isinstance(of, type) and dataclasses.is_dataclass(of):
            values[name] = _read_fields(group[name], of)
        elif of is np.ndarray or field.default is None:
            values[name] = group[name][()]
        else:
            values[name] = json.loads(group[name].asstr()[()])
            (element, *_) = typing.get_args(of) or (None,)
            if isinstance(element, type) and dataclasses.is_dataclass(element):
                values[name] = [element(**one) for one in values[name]]
    return kind(**values)
