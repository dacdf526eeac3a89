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
    """Removes what depends on the day, on memory, and on what else the process has made.

    That is the date, the numbers of shared objects, and those in the names of operations.
    """
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(contents["metadata.json"])
    metadata.pop("date_saved", None)
    contents["metadata.json"] = json.dumps(metadata).encode()
    config = _with_small_ids(contents["config.json"].decode())
    contents["config.json"] = _with_own_numbers(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(
                zipfile.ZipInfo(name), content
            )  # Dated 1980, the earliest that zip has.


def _with_own_numbers(config: str) -> str:
    """Names operations (as ``maximum_7``) by their number in the model, not in the process."""
    layers = json.loads(config)["config"].get("layers", [])
    operations = [
        layer["config"]["name"]
        for layer in layers
        if str(layer.get("module")).startswith("keras.src.ops.")
    ]
    numbers: dict[str, int] = {}
    names = {}
    for name in operations:
        kind = re.sub(r"_\d+$", "", name)
        number = numbers[kind] = numbers.get(kind, -1) + 1
        names[f'"{name}"'] = f'"{kind}_{number}"' if number else f'"{kind}"'
    others = {f'"{layer["config"].get("name")}"' for layer in layers} - names.keys()
    if not names or others.intersection(names.values()):
        return config
    return re.sub("|".join(map(re.escape, names)), lambda found: names[found[0]], config)


def _with_small_ids(config: str) -> str:
    numbers: dict[str, int] = {}
    return re.sub(
        r'("shared_object_id": )(\d+)',
        lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers))}",
        config,
    )
