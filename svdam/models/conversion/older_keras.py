"""Models that older versions of Keras saved, as files of Keras 3.

Keras 3 reads most ``.h5`` files of Keras 2. What it cannot read, Keras 2 itself can, which lives on
as the package tf_keras: it reads the model, writes it as ``.h5``, and Keras 3 reads that. With
tf_keras at hand the outputs of both are compared on random input.

One function has changed its values: `svdam.models.hard_sigmoid` holds the old one of
``hard_sigmoid``, the gate of many recurrent networks.
"""

import dataclasses
import json
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from svdam.core.hdf5 import check_hdf5
from svdam.core.settings import Settings, import_module_setting, setting, unsafe_model_setting
from svdam.core.validation import InputError, one_line, quoted_list
from svdam.models.conversion.saved_models import has_keras_configuration, wrapped_saved_model
from svdam.models.hard_sigmoid import keras2_hard_sigmoid
from svdam.models.inspection import code_in_config, inspect_keras_file
from svdam.models.loading import import_layers
from svdam.models.saving import save_model

TOLERANCE = 1e-4
"""Largest difference of the outputs, relative to the largest output."""

_MAX_BYTES = 2 << 30
_EXAMPLES = 4
_OPEN_SIZE = 64  # Of axes of the input that are open, on random input.


@dataclasses.dataclass(frozen=True)
class ImportSettings(Settings):
    """Settings of tools/import_model.py."""

    input: str | None = setting(
        None,
        "Model of an older version of Keras: an .h5, .hdf5 or .keras file, or the folder of a "
        "SavedModel.",
        path=True,
    )
    output: str | None = setting(None, "The .keras file to write.", path=True)
    overwrite: bool = setting(False, "Replace existing files.")
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()

    def validate(self) -> None:
        """Asks for both files."""
        if self.input is None:
            raise InputError("--input: is not given, expected the model to convert")
        if self.output is None or Path(self.output).suffix != ".keras":
            raise InputError(f"--output: found {self.output}, expected a name ending in .keras")


def import_model(settings: ImportSettings) -> list[str]:
    """Converts a model. Nothing is written unless all of it succeeds.

    Returns:
        Lines that say what was done.

    Raises:
        InputError: If the input is missing, damaged, holds code or cannot be converted, if the
            output exists, or if the outputs of both models differ.
    """
    model, lines = converted_model(settings)
    save_model(model, str(settings.output))
    return lines


def converted_model(settings: ImportSettings) -> tuple[keras.Model, list[str]]:
    """The model in Keras 3, which is not written, and lines that say what was done.

    Raises:
        InputError: As `import_model` does.
    """
    source, output = Path(settings.input or ""), Path(settings.output or "")
    if output.exists() and not settings.overwrite:
        raise InputError(f"--output: {output} exists; choose another name, or add --overwrite")
    if settings.import_module is not None:
        import_layers(settings.import_module)
    kind = _kind(source)
    if not settings.allow_unsafe_model:
        _refuse_code(source, kind)
    if kind == "SavedModel" and not has_keras_configuration(source):
        model = wrapped_saved_model(source)
        lines = [
            f"it runs the graph in {source.resolve()}, which must stay there; commands need "
            "--allow_unsafe_model"
        ]
    else:
        model, lines = _rebuilt_model(source, kind, settings.allow_unsafe_model)
    shapes = f"from {_shapes(model.inputs)} to {_shapes(model.outputs)}"
    return model, [*lines, f"{output}: {shapes}, {model.count_params():,} parameters"]


def _rebuilt_model(source: Path, kind: str, allow_unsafe: bool) -> tuple[keras.Model, list[str]]:
    """The model, made of layers of Keras 3, and how far its outputs are from those before."""
    original = _original(source, kind, allow_unsafe)
    with tempfile.TemporaryDirectory() as folder:
        model = _todays_model(source, kind, original, Path(folder))
        lines = _compared(original, model)
        path = Path(folder) / "model.keras"
        save_model(model, path)
        inspect_keras_file(path)  # So that every command takes it.
    return model, lines


def _kind(source: Path) -> str:
    if (source / "saved_model.pb").exists():
        return "SavedModel"
    if not source.is_file():
        raise InputError(f"--input: {source} does not exist; expected a file, or a SavedModel")
    if h5py.is_hdf5(source):
        return "h5"
    if zipfile.is_zipfile(source):
        return "keras"
    raise InputError(f"--input: {source} is neither HDF5 nor a .keras file nor a SavedModel")


def _refuse_code(source: Path, kind: str) -> None:
    """Refuses what runs code while it is read."""
    if kind == "SavedModel":
        raise InputError(
            f"--input: {source} is a SavedModel, whose graph could run code or read files here; if "
            "you made it yourself, add --allow_unsafe_model"
        )
    found = list(dict.fromkeys(code_in_config(_config(source, kind))))
    if found:
        raise InputError(
            f"--input: {source} holds {quoted_list(found, 3)}, which could run code or read files "
            "here, and which a safe file of Keras 3 cannot hold; build the model from other layers"
        )


def _config(source: Path, kind: str) -> Any:
    try:
        if kind == "keras":
            with zipfile.ZipFile(source) as archive:
                return json.loads(archive.read("config.json"))
        check_hdf5(source, f"--input: {source}", _MAX_BYTES)
        with h5py.File(source) as file:
            return _config_of_h5(file)
    except KeyError as error:
        raise InputError(
            f"--input: {source} holds no configuration of a model, perhaps only its weights; save "
            "the whole model with model.save"
        ) from error
    except (ValueError, TypeError, OSError, zipfile.BadZipFile, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--input: {source} is damaged ({one_line(error)})") from error


def _original(source: Path, kind: str, allow_unsafe: bool) -> Any | None:
    """The model as Keras 2 reads it; None if tf_keras is not installed."""
    try:
        import tf_keras
    except ImportError:
        return None
    options = {"safe_mode": not allow_unsafe} if kind == "keras" else {}
    try:
        model = tf_keras.models.load_model(source, compile=False, **options)
    except Exception as error:  # Whatever Keras raises over a file that it cannot read.
        if kind == "h5":
            return None  # Keras 3 may be able to.
        raise InputError(f"--input: {source} cannot be read ({one_line(error)})") from error
    if not isinstance(model, tf_keras.Model):
        raise InputError(
            f"--input: {source} holds no configuration of a Keras model, without which it cannot "
            "be converted"
        )
    return model


def _todays_model(source: Path, kind: str, original: Any | None, folder: Path) -> keras.Model:
    """The model in Keras 3: from the file itself, or else from a copy that Keras 2 writes."""
    if kind == "h5":
        try:
            return _read_h5(source, folder)
        except Exception as error:  # Whatever Keras raises over a file that it cannot read.
            if original is None:
                raise InputError(
                    f"--input: {source} cannot be read by Keras 3 ({one_line(error)}){_NEEDED}"
                ) from error
    if original is None:
        raise InputError(f"--input: {source} cannot be read by Keras 3{_NEEDED}")
    try:
        original.save(folder / "copy.h5", save_format="h5", include_optimizer=False)
        return _read_h5(folder / "copy.h5", folder)
    except Exception as error:
        hint = "; write operations between layers as layers" if "OpLambda" in str(error) else ""
        raise InputError(
            f"--input: {source} cannot be converted ({one_line(error)}){hint}"
        ) from error


_NEEDED = (
    "; install Keras 2 as well, in the version that matches your TensorFlow: pip install tf_keras"
)


def _read_h5(source: Path, folder: Path) -> keras.Model:
    """What Keras 3 makes of an ``.h5`` file of Keras 2, or rather of a copy in today's words."""
    path = folder / "todays.h5"
    shutil.copyfile(source, path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(_in_todays_words(_config_of_h5(file)))
    with warnings.catch_warnings(action="ignore"):  # Advice about old ways of building.
        return keras.saving.load_model(path, compile=False)


def _config_of_h5(file: h5py.File) -> Any:
    return json.loads(file.attrs["model_config"])


def _in_todays_words(value: Any) -> Any:
    """A configuration of Keras 2 in the words that Keras 3 understands."""
    if isinstance(value, list):
        return [_in_todays_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: _in_todays_words(item) for key, item in value.items()}
    name, config = str(value.get("class_name")), value.get("config")
    if name == "Sequential" and config:
        _give_input_layer(config["layers"] if isinstance(config, dict) else config)
    if isinstance(config, dict):
        for key in _obsolete_keys(name, config):
            config.pop(key, None)
        for key in ("activation", "recurrent_activation"):
            if config.get(key) == "hard_sigmoid":
                config[key] = keras.saving.serialize_keras_object(keras2_hard_sigmoid)
        if "output_layers" in config:
            _count_calls_from_zero(config)
    return value


def _obsolete_keys(name: str, config: dict[str, Any]) -> list[str]:
    """Keys that had no meaning, or one value only."""
    keys = ["time_major"] if config.get("time_major") is False else []
    if name.startswith(("Depthwise", "Separable")) or name.endswith("Transpose"):
        keys.append("groups")
    if name.startswith("Separable"):  # They have a depthwise and a pointwise kernel.
        keys += ["kernel_initializer", "kernel_regularizer", "kernel_constraint"]
    return keys


def _give_input_layer(layers: list[dict[str, Any]]) -> None:
    """Says the shape of the input in a layer of its own; elsewhere it is taken for an excerpt's."""
    shape = layers[0]["config"].pop("batch_input_shape", None)
    if shape and layers[0]["class_name"] != "InputLayer":
        layers.insert(0, {"class_name": "InputLayer", "config": {}})
    if shape:
        layers[0]["config"]["batch_shape"] = shape


def _count_calls_from_zero(config: dict[str, Any]) -> None:
    """Numbers the calls of models in a functional model from 0: Keras 2 counted their making."""
    ends = {layer["name"]: len(layer["inbound_nodes"]) for layer in config["layers"]}
    references = list(_references([config["output_layers"], *_inbound_nodes(config)]))
    for name, end in ends.items():
        ours = [one for one in references if one[0] == name]
        shift = max((one[1] for one in ours), default=0) - end + 1
        if end and shift > 0:
            for one in ours:
                one[1] -= shift


def _inbound_nodes(config: dict[str, Any]) -> list[Any]:
    return [layer["inbound_nodes"] for layer in config["layers"]]


def _references(value: Any) -> Iterator[list[Any]]:
    """What refers to the output of a layer: [name, number of the call, number of the output, ...].

    Also in the arguments that follow.
    """
    if isinstance(value, list):
        if len(value) > 2 and [type(item) for item in value[:3]] == [str, int, int]:
            yield value
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        yield from _references(list(value.values()))


def _compared(original: Any | None, model: keras.Model) -> list[str]:
    """Compares the outputs on random input, and says how large the difference is."""
    if original is None:
        return ["not compared with Keras 2, which needs tf_keras: pip install tf_keras"]
    random = np.random.RandomState(0)
    inputs = [_random_input(random, tensor) for tensor in model.inputs]
    expected, found = (_outputs(one, inputs) for one in (original, model))
    if [one.shape for one in expected] != [one.shape for one in found]:
        raise InputError(f"--input: the outputs of Keras 3 have other shapes: {_shapes(found)}")
    differences = [
        float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-30))
        for one, other in zip(found, expected, strict=True)
    ]
    if not max(differences) <= TOLERANCE:
        raise InputError(
            f"--input: the outputs of Keras 2 and 3 differ by {max(differences):.1e} of the "
            f"largest, expected at most {TOLERANCE:.0e}; nothing was written"
        )
    return [
        f"compared with Keras 2 on {_EXAMPLES} random inputs: largest difference "
        f"{max(differences):.1e} of the largest output"
    ]


def _random_input(random: np.random.RandomState, tensor: Any) -> np.ndarray:
    shape = (tensor.shape[0] or _EXAMPLES, *(size or _OPEN_SIZE for size in tensor.shape[1:]))
    if "float" in tensor.dtype:
        return random.normal(size=shape).astype(np.float32)
    return random.randint(2, size=shape)


def _outputs(model: Callable, inputs: list[np.ndarray]) -> list[np.ndarray]:
    with warnings.catch_warnings(action="ignore"):  # A list of one input is one, too.
        outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(one, np.float64) for one in keras.tree.flatten(outputs)]


def _shapes(tensors: list[Any]) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
