"""Writing Keras models so that nothing half-written is ever taken for a model."""

import json
import os
import re
import zipfile
from pathlib import Path

import keras

from svdam.core.files import atomic_path


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Saves ``model`` as a ``.keras`` file, atomically; the same model gives the same bytes.

    Later stages know a model by the checksum of its file, so that a training that was repeated has
    to end with the same one.
    """
    with atomic_path(path) as temporary:
        model.save(temporary)
        _remove_time_and_place(temporary)


def _remove_time_and_place(path: Path) -> None:
    """Removes the dates that Keras writes, and numbers shared objects by order, not by address."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(contents["metadata.json"])
    metadata.pop("date_saved", None)
    contents["metadata.json"] = json.dumps(metadata).encode()
    contents["config.json"] = _with_small_ids(contents["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(
                zipfile.ZipInfo(name), content
            )  # Dated 1980, the earliest that zip has.


def _with_small_ids(config: str) -> str:
    numbers: dict[str, int] = {}
    return re.sub(
        r'("shared_object_id": )(\d+)',
        lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers))}",
        config,
    )
