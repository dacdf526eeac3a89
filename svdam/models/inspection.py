"""What a ``.keras`` file holds, looked at before Keras makes a model of it.

A ``.keras`` file is a zip archive of ``config.json``, which names the classes to build,
``metadata.json`` and ``model.weights.h5``. Here every class must be one of those of Keras that only
compute; the weights are tried in a process of their own; and as many values as the file stores is
all that the model may allocate.
"""

import contextlib
import json
import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any

from svdam.core.archives import checked_members, opened_archive, read_member
from svdam.core.hdf5 import check_hdf5
from svdam.core.validation import InputError, one_line, quoted_list

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MAX_CONFIG_BYTES = 16 << 20
_MAX_BYTES = 2 << 30
_SPARE_VALUES = 1024  # Counters and seeds that a layer may make beside what the file stores.

_MODELS = {
    ("keras", "Functional"),
    ("keras", "Model"),
    ("keras", "Sequential"),
    ("keras.models", "Model"),
    ("keras.models", "Sequential"),
    ("keras.src.models.functional", "Functional"),
    ("keras.src.models.sequential", "Sequential"),
    ("keras.src.engine.functional", "Functional"),
}
_LAYER_PACKAGES = (
    *("activations", "attention", "convolutional", "merging", "normalization", "pooling"),
    *("regularization", "reshaping", "rnn"),
)
# Of the other packages of keras.layers: those that neither run code nor read files.
_LAYERS = {
    *("Dense", "EinsumDense", "Embedding", "Identity", "InputLayer", "Masking"),
    *("Normalization", "Rescaling", "Resizing", "CenterCrop", "MelSpectrogram", "STFTSpectrogram"),
}
_OPERATION_MODULES = {"keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.math"}
_CORE_OPERATIONS = {"Cast", "ConvertToTensor", "SaturateCast", "Slice", "StopGradient", "Unstack"}
_PARTS = {"keras.initializers", "keras.regularizers", "keras.constraints", "keras.optimizers",
          "keras.optimizers.schedules", "keras.losses", "keras.metrics"}  # fmt: skip
_DTYPE_POLICIES = {"DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap"}
_VALUES = {
    *("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"),
    "__tuple__",
}


def inspect_keras_file(path: str | os.PathLike, allow_unsafe: bool = False) -> int:
    """Looks through a ``.keras`` file.

    Args:
        path: The file.
        allow_unsafe: Whether layers may be of any class, and files for them be in the archive.

    Returns:
        How many values its weights hold.

    Raises:
        InputError: If it is damaged, too large, or names what could run code or read files.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no .keras file (it is no zip archive{_what_it_is(path)})")
    with opened_archive(path, ".keras file") as archive:
        members = checked_members(archive, path, _MAX_BYTES)
        missing = [name for name in (_CONFIG, _WEIGHTS) if name not in members]
        if missing:
            raise InputError(f"{path} is no .keras file: it holds no {quoted_list(missing)}")
        foreign = [name for name in members if name not in (_CONFIG, _METADATA, _WEIGHTS)]
        if foreign and not allow_unsafe:
            raise InputError(f"{path} holds {quoted_list(foreign, 3)}, which no safe layer needs")
        if members[_CONFIG].file_size > _MAX_CONFIG_BYTES:
            raise InputError(f"{path} holds a {_CONFIG} of {members[_CONFIG].file_size} bytes")
        content = {
            name: read_member(archive, members[name], f"{path}: {name}")
            for name in (_CONFIG, _METADATA, _WEIGHTS)
            if name in members
        }
    _check_config(content[_CONFIG], str(path), allow_unsafe)
    return check_hdf5(content[_WEIGHTS], f"{path}: {_WEIGHTS}", _MAX_BYTES)


@contextlib.contextmanager
def variables_bounded(num_values: int, path: str | os.PathLike) -> Iterator[None]:
    """Context in which Keras variables of at most ``num_values`` values together can be made.

    Raises:
        InputError: If more are asked for; before they are made, whatever Keras makes of it.
    """
    import keras

    make, limit, asked = keras.Variable.__init__, num_values + _SPARE_VALUES, 0

    def checked(self: Any, initializer: Any, shape: Any = None, *args: Any, **options: Any) -> None:
        nonlocal asked
        asked += math.prod(size or 1 for size in shape or ())
        if asked > limit:
            raise MemoryError
        make(self, initializer, shape, *args, **options)

    keras.Variable.__init__ = checked
    try:
        yield
    except Exception as error:
        if asked > limit:
            raise InputError(
                f"{path} declares layers with more than {num_values} weights, which is what it "
                "stores"
            ) from error
        raise
    finally:
        keras.Variable.__init__ = make


def _what_it_is(path: str | os.PathLike) -> str:
    """A hint for files of other kinds."""
    with open(path, "rb") as stream:
        start = stream.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return ", but HDF5, Keras's older form: load it in Python and save it as .keras"
    return ""


def _check_config(content: bytes, path: str, allow_unsafe: bool) -> None:
    try:
        config = json.loads(content)
        if not isinstance(config, dict):
            raise ValueError("expected an object")
        # How the model was trained: Keras is told to leave it.
        config.pop("compile_config", None)
        refused = [] if allow_unsafe else list(_unsafe_objects(config))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {_CONFIG} is damaged ({one_line(error)})") from error
    if refused:
        raise InputError(
            f"{path} holds {quoted_list(list(dict.fromkeys(refused)), 3)}, which could run code of "
            "the file's author; if the author is you, add --allow_unsafe_model"
        )


def _unsafe_objects(value: Any) -> Iterator[str]:
    """Names of the objects in a configuration that are not known to be harmless."""
    if isinstance(value, list):
        for item in value:
            yield from _unsafe_objects(item)
    if not isinstance(value, dict):
        return
    if "class_name" in value and not _is_safe(value):
        yield f"{value.get('module') or '?'}.{value['class_name']}"[:120]
    for item in value.values():
        yield from _unsafe_objects(item)


def _is_safe(value: dict[str, Any]) -> bool:
    """Whether Keras would make a harmless object of this."""
    import keras

    name, module = value["class_name"], value.get("module")
    if not isinstance(name, str) or name in _VALUES:
        return isinstance(name, str)
    if value.get("registered_name") in keras.saving.get_custom_objects():
        return True  # A class that this program has registered itself.
    if name == "function":
        found = getattr(keras.activations, str(value.get("config")), None)
        others = (keras.activations.get, keras.activations.deserialize, keras.activations.serialize)
        return module == "builtins" and callable(found) and found not in others
    if module == "keras.layers":
        return _is_safe_layer(getattr(keras.layers, name, None), name)
    if module in _OPERATION_MODULES:
        return name.isidentifier()
    return (
        (module, name) in _MODELS
        or (module == "keras.src.ops.core" and name in _CORE_OPERATIONS)
        or (module in ("keras", "keras.dtype_policies") and name in _DTYPE_POLICIES)
        or (module in _PARTS and name.isidentifier() and name[0].isupper())
    )


def _is_safe_layer(layer: Any, name: str) -> bool:
    packages = tuple(f"keras.src.layers.{package}." for package in _LAYER_PACKAGES)
    home = getattr(layer, "__module__", "")
    return home.startswith(packages) or (name in _LAYERS and home.startswith("keras.src."))
