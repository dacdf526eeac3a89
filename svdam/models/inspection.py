"""What a ``.keras`` file holds, looked at before Keras makes a model of it.

A ``.keras`` file is a zip archive of ``config.json``, which names the classes to build,
``metadata.json`` and ``model.weights.h5``. One walk over the configuration allows the classes of
Keras and those that the running program has registered, and refuses what runs code or reads files,
which Keras's safe mode refuses once more. The model can allocate as many values as the file stores.
"""

import contextlib
import json
import math
import os
import shlex
import sys
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

_OF_CODE = {
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    # Operations that are given functions.
    *("Map", "Scan", "AssociativeScan", "VectorizedMap", "WhileLoop", "ForiLoop", "Cond", "Switch"),
    *("JVP", "VJP"),
}
_CODE = {"__lambda__", "__typespec__"}
_VALUES = {
    *("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"),
    "__tuple__",
}


def inspect_keras_file(path: str | os.PathLike, allow_unsafe: bool = False) -> int:
    """Looks through a ``.keras`` file.

    Args:
        path: The file.
        allow_unsafe: Whether it may hold what runs code or reads files, and files for it.

    Returns:
        How many values its weights hold.

    Raises:
        InputError: If it is damaged, too large, of an older Keras, or holds what it must not.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a .keras file ({_what_it_is(path)})")
    with opened_archive(path, ".keras file") as archive:
        members = checked_members(archive, path, _MAX_BYTES)
        missing = [name for name in (_CONFIG, _WEIGHTS) if name not in members]
        if missing:
            is_pytorch = any(name.endswith("/data.pkl") for name in members)
            hint = "; it is of PyTorch, which cannot be read" if is_pytorch else ""
            raise InputError(
                f"{path} is not a .keras file: it holds no {quoted_list(missing)}{hint}"
            )
        foreign = [name for name in members if name not in (_CONFIG, _METADATA, _WEIGHTS)]
        if foreign and not allow_unsafe:
            raise InputError(
                f"{path} holds {quoted_list(foreign, 3)}, expected a configuration and weights "
                "only; if you made it, and its layers need these files, add --allow_unsafe_model"
            )
        if members[_CONFIG].file_size > _MAX_CONFIG_BYTES:
            raise InputError(f"{path} holds a {_CONFIG} of {members[_CONFIG].file_size} bytes")
        content = {
            name: read_member(archive, members[name], f"{path}: {name}")
            for name in (_CONFIG, _METADATA, _WEIGHTS)
            if name in members
        }
    _refuse_older_keras(content.get(_METADATA), str(path))
    _check_config(content[_CONFIG], str(path), allow_unsafe)
    return check_hdf5(content[_WEIGHTS], f"{path}: {_WEIGHTS}", _MAX_BYTES)


def code_in_config(value: Any) -> Iterator[str]:
    """Names of what runs code or reads files in the configuration of a model, of any Keras."""
    if isinstance(value, dict):
        name, config = value.get("class_name"), value.get("config")
        if isinstance(name, str) and (name in _OF_CODE | _CODE or _reads_file(config)):
            yield name
        if value.get("function_type") == "lambda":  # As Keras 2 writes it.
            yield "lambda"
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from code_in_config(item)


def conversion(path: str | os.PathLike) -> str:
    """How to make a file of today's Keras of an older or foreign one, for messages."""
    path = shlex.quote(os.fspath(path))
    return f"convert it: python tools/import_model.py --input={path} --output=NEW.keras"


@contextlib.contextmanager
def variables_bounded(num_values: int, path: str | os.PathLike) -> Iterator[None]:
    """Context in which variables of at most ``num_values`` values together can be made.

    Raises:
        InputError: If more are asked for; before they are made, whatever Keras makes of it.
    """
    import tensorflow as tf

    limit, asked = num_values + _SPARE_VALUES, 0

    def checked(make: Any, **options: Any) -> Any:
        nonlocal asked
        asked += _num_values(options["initial_value"])
        if asked > limit:
            raise MemoryError
        return make(**options)

    try:
        with tf.variable_creator_scope(checked):
            yield
    except Exception as error:
        if asked > limit:
            raise InputError(
                f"{path} declares layers with more than {num_values} weights, which is what it "
                "stores"
            ) from error
        raise


def _num_values(initial_value: Any) -> int:
    """Number of values of a variable, without computing them."""
    import numpy as np
    import tensorflow as tf

    if not callable(initial_value):
        return math.prod(np.shape(initial_value))
    try:
        with tf.Graph().as_default():
            return initial_value().shape.num_elements()
    except RuntimeError:  # The values are a tensor, which this kind of graph cannot take.
        function = tf.function(initial_value, autograph=False)
        return function.get_concrete_function().output_shapes.num_elements()


def _what_it_is(path: str | os.PathLike) -> str:
    """What a file is that is not a zip archive."""
    with open(path, "rb") as stream:
        start = stream.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return f"it is HDF5, the format of older versions of Keras; {conversion(path)}"
    if start[4:8] == b"TFL3":
        return "it is a TensorFlow Lite model, which has no gradients"
    return "it is not a zip archive"


def _refuse_older_keras(content: bytes | None, path: str) -> None:
    """Refuses files of Keras 2: some cannot be read by Keras 3, others compute something else."""
    try:
        version = str(json.loads(content or b"")["keras_version"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return
    if version.startswith("2."):
        raise InputError(f"{path} was saved by Keras {version[:20]}; {conversion(path)}")


def _check_config(content: bytes, path: str, allow_unsafe: bool) -> None:
    try:
        config = json.loads(content)
        if not isinstance(config, dict):
            raise ValueError("expected an object")
        # How the model was trained: Keras is told to leave it.
        config.pop("compile_config", None)
        objects = list(dict.fromkeys(_refused_objects(config)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {_CONFIG} is damaged ({one_line(error)})") from error
    code = [name for name, is_of_keras in objects if is_of_keras]
    if code and not allow_unsafe:
        raise InputError(
            f"{path} holds {quoted_list(code, 3)}, which could run code "
            "or read files here; if you made the file yourself, add --allow_unsafe_model"
        )
    unknown = [name for name, is_of_keras in objects if not is_of_keras]
    if unknown:
        # A class that was saved without being registered is looked for under its bare name.
        *_, bare = unknown[0].replace("function ", "").split(".")
        register = "@keras.saving.register_keras_serializable(...)"
        if ">" not in bare:
            register = f"keras.saving.get_custom_objects()[{bare!r}] = {bare}"
        raise InputError(
            f"{path} holds {quoted_list(unknown, 3)}, which Keras does not know; if it is your "
            f"own, import the module that registers it ({register}): --import_module=MODULE"
        )


def _refused_objects(value: Any) -> Iterator[tuple[str, bool]]:
    """(name, whether Keras knows it) of what cannot be made, or could do more than compute."""
    if isinstance(value, list):
        for item in value:
            yield from _refused_objects(item)
    if not isinstance(value, dict):
        return
    if "class_name" in value:
        is_of_keras, is_safe = _verdict(value)
        if not (is_of_keras and is_safe):
            yield _full_name(value), is_of_keras
    for item in value.values():
        yield from _refused_objects(item)


def _full_name(value: dict[str, Any]) -> str:
    """How messages call an object: as it is registered, if it is."""
    name, module, registered = (value.get(k) for k in ("class_name", "module", "registered_name"))
    if isinstance(registered, str) and ">" in registered:
        return registered[:120]
    if name == "function":
        return f"function {value.get('config')}"[:120]
    return (f"{module}.{name}" if module else str(name))[:120]


def _verdict(value: dict[str, Any]) -> tuple[bool, bool]:
    """Whether Keras can make an object of this, and whether that object does nothing but compute.

    It is Keras's own way of finding classes, less what it could find beyond its own.
    """
    import keras

    name, module = value["class_name"], value.get("module")
    if not isinstance(name, str):
        return False, False
    if name in _VALUES | _CODE:
        return True, name in _VALUES
    if name == "function":
        return _is_function_of_keras(value), True
    if value.get("registered_name") in keras.saving.get_custom_objects():
        return True, True  # A class that this program has registered itself.
    found = getattr(sys.modules.get(str(module)), name, None)
    kinds = (
        *(keras.Operation, keras.Initializer, keras.regularizers.Regularizer, keras.Loss),
        *(keras.constraints.Constraint, keras.Optimizer, keras.Metric, keras.DTypePolicy),
        keras.optimizers.schedules.LearningRateSchedule,
        *(keras.dtype_policies.DTypePolicyMap, keras.quantizers.Quantizer),
    )
    if str(module).partition(".")[0] != "keras" or not isinstance(found, type):
        return False, False
    if not issubclass(found, kinds):
        return False, False
    is_code = any(one.__name__ in _OF_CODE for one in found.__mro__)
    return True, not (is_code or _reads_file(value.get("config")))


def _reads_file(config: Any) -> bool:
    """Whether a layer with this configuration takes its vocabulary from a file."""
    return isinstance(config, dict) and isinstance(config.get("vocabulary"), str)


def _is_function_of_keras(value: dict[str, Any]) -> bool:
    """Whether it is an activation function, by its name."""
    import keras

    name = value.get("config")
    registered = [one.rpartition(">")[2] for one in keras.saving.get_custom_objects()]
    if isinstance(name, str) and name.rpartition(">")[2] in registered:
        return True
    others = (keras.activations.get, keras.activations.deserialize, keras.activations.serialize)
    found = getattr(keras.activations, str(name), None)
    return value.get("module") == "builtins" and callable(found) and found not in others
