"""Loading Keras models from files without running code from them."""

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from svdam.core.files import require_inside, shipped
from svdam.core.runs import default_command_line, open_run
from svdam.core.validation import InputError, one_line
from svdam.models.inspection import conversion, inspect_keras_file, variables_bounded

if TYPE_CHECKING:
    import keras

_MAX_ACTIVATION_BYTES = 1 << 30  # For one example.


def load_model(
    path: str | os.PathLike,
    flag: str | None = None,
    expected_input: tuple | None = None,
    allow_unsafe: bool = False,
    import_module: str | None = None,
    output_names: Iterable[str] = (),
) -> "keras.Model":
    """Loads a ``.keras`` file, or the model that a training run wrote.

    Only layers of Keras that compute and do nothing else can be in the file, and classes that the
    running program has registered: Lambda layers, pickled objects and other modules, which would
    run code, are refused. See `svdam.models.inspection` for what else is.

    Args:
        path: A ``.keras`` file, or a run folder of train_classifier or train_gan.
        flag: The flag that named it, for messages. In a run folder of train_gan, ``critic`` means
            the critic.
        expected_input: Shape that the model must take, without the batch; None to allow any. Open
            axes get their size from it; see `svdam.models.shapes.fitted_model`.
        allow_unsafe: Loads Lambda layers and whatever else Keras knows, too. The file's author can
            then run any code here: for one's own files only.
        import_module: Module to import before, which registers classes of the file.

    Returns:
        The model, not compiled.

    Raises:
        InputError: If it is missing, damaged, no model, holds code, or takes another input.

    Example:
        >>> classifier = load_model("checkpoints/demo_svdnet.keras")
        >>> classifier.input_shape
        (None, 115, 80, 1)
    """
    path = model_path(path, flag)  # Before Keras is loaded, which takes seconds.
    if import_module is not None:
        import_layers(import_module)
    import svdam.models.hard_sigmoid  # noqa: F401 Registers a function of files from Keras 2.
    from svdam.models.names import use_graph_names
    from svdam.models.shapes import fitted_model, plain_model

    try:
        num_values = inspect_keras_file(path, allow_unsafe)
        model = _made(path, num_values, allow_unsafe)
        model = plain_model(model, str(path), output_names)
        if expected_input is not None:
            model = fitted_model(model, expected_input, str(path))
        _require_small(model, path)
        use_graph_names(model)
        return model
    except InputError as error:
        raise InputError(f"--{flag}: {error}" if flag else str(error)) from error


def import_layers(module: str) -> None:
    """Imports a module of the user's, which registers layers with Keras.

    Args:
        module: Its name. It can also lie in the current folder.

    Raises:
        InputError: If it cannot be imported.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # Last, so that nothing there hides a package.
    try:
        importlib.import_module(module)
    except Exception as error:  # Whatever the module raises.
        raise InputError(
            f"--import_module: {module!r} cannot be imported ({type(error).__name__}: "
            f"{one_line(error)}); expected the name of a module, such as mylayers for mylayers.py "
            "in the current folder"
        ) from error


def take_weights(initial: str | os.PathLike, *models: "keras.Model") -> None:
    """Gives networks the weights of those of the same name that were trained before.

    Args:
        initial: What ``--initial`` names: a finished run of train_gan, or a generator's ``.keras``
            file whose critic lies next to it under the same name, with "critic" for "generator".
        *models: Built Keras models, named generator or critic.

    Raises:
        InputError: If the run is not finished, a file is missing, or a network has other layers.
    """
    for model in models:
        path = initial_path(initial, model.name)
        weights = load_model(path, "initial").get_weights()
        if [array.shape for array in weights] != [tuple(own.shape) for own in model.weights]:
            raise InputError(
                f"--initial: the {model.name} {path} has different layers; expected the same "
                "--preset"
            )
        model.set_weights(weights)


def initial_path(initial: str | os.PathLike, network: str) -> Path:
    """The file with the weights that a network starts from; see `take_weights`."""
    path = Path(shipped(os.fspath(initial)))
    if path.suffix != ".keras":
        return open_run(path, "train_gan", "initial").folder / f"{network}.keras"
    if "generator" not in path.name:
        raise InputError(
            f"--initial: {path} is not named like a generator; expected a run of train_gan, or a "
            "file such as generator_music.keras next to critic_music.keras"
        )
    return path.with_name(path.name.replace("generator", network))


def model_path(path: str | os.PathLike, flag: str | None = None) -> Path:
    """The ``.keras`` file that ``path`` is, or the one in a run folder.

    Args:
        path: See `load_model`.
        flag: See `load_model`; without one, a run folder says itself what is in it.

    Raises:
        InputError: If there is none, with the command that makes it.
    """
    path = Path(shipped(os.fspath(path)))
    if flag is None:
        if not path.exists():
            raise InputError(f"{path} does not exist; expected a .keras file or a training run")
        flag = "generator" if (path / "generator.keras").exists() else "classifier"
    is_gan = flag in ("generator", "critic")
    command = "train_gan" if is_gan else "train_classifier"
    if (path / "saved_model.pb").exists():
        raise InputError(f"--{flag}: {path} is a TensorFlow SavedModel; {conversion(path)}")
    if path.is_dir():
        folder = open_run(path, command, flag).folder
        path = folder / f"{flag if is_gan else 'classifier'}.keras"
        require_inside(path, folder)
    if not path.is_file():
        folder = path.parent if path.suffix == ".keras" else path
        way_out = default_command_line(command, folder)
        raise InputError(f"--{flag}: {path} does not exist; create it with: {way_out}")
    return path


def _made(path: Path, num_values: int, allow_unsafe: bool) -> "keras.Model":
    """The model that Keras makes of an inspected file."""
    import keras

    with variables_bounded(num_values, path):
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=not allow_unsafe)
        except Exception as error:  # Keras raises whatever a damaged file makes it stumble over.
            raise InputError(f"{path} cannot be loaded ({one_line(error)})") from error
    if not isinstance(model, keras.Model):
        raise InputError(f"{path} holds a {type(model).__name__}, expected a model")
    return model


def _require_small(model: "keras.Model", path: Path) -> None:
    """Refuses models with huge activations."""
    from svdam.models.memory import activation_bytes

    total = activation_bytes(model)
    if total > _MAX_ACTIVATION_BYTES:
        raise InputError(
            f"{path} needs {total / 2**30:.3g} GiB of memory for one example, expected at most "
            f"{_MAX_ACTIVATION_BYTES / 2**30:g}"
        )
