"""Loading Keras models from files without running code from them."""

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from svdam.core.runs import default_command_line, open_run
from svdam.core.validation import InputError, one_line

if TYPE_CHECKING:
    import keras


def load_model(
    path: str | os.PathLike, flag: str, expected_input: tuple | None = None
) -> "keras.Model":
    """Loads a ``.keras`` file, or the model that a training run wrote.

    Only layers that Keras or svdam define can be in the file: Lambda layers and pickled objects,
    which would run code, are refused.

    Args:
        path: A ``.keras`` file, or a run folder of train_classifier or train_gan.
        flag: The flag that named it, for messages. ``generator`` and ``critic`` are looked for in
            run folders of train_gan, all others are classifiers.
        expected_input: Shape that the model must take, without the batch; None to allow any.

    Returns:
        The model, not compiled.

    Raises:
        InputError: If it is missing, no model, holds code, or takes another input.
    """
    path = model_path(path, flag)  # Before Keras is loaded, which takes seconds.
    import keras

    if not zipfile.is_zipfile(path):
        raise InputError(f"--{flag}: {path} is no .keras file (it is no zip archive)")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a damaged file makes it stumble over.
        raise InputError(f"--{flag}: {path} cannot be loaded ({one_line(error)})") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"--{flag}: {path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs, "
            "expected one of each"
        )
    found = tuple(model.input_shape[1:])
    if expected_input is not None and found != tuple(expected_input):
        raise InputError(f"--{flag}: {path} takes {found}, expected {tuple(expected_input)}")
    return model


def take_weights(folder: str | os.PathLike, *models: "keras.Model") -> None:
    """Gives networks the weights of those of the same name in a finished run of train_gan.

    Args:
        folder: The run folder that ``--initial`` names.
        *models: Built Keras models, named generator or critic.

    Raises:
        InputError: If the run is not finished, or its networks have other layers.
    """
    folder = open_run(folder, "train_gan", "initial").folder
    for model in models:
        weights = load_model(folder / f"{model.name}.keras", "initial").get_weights()
        if [array.shape for array in weights] != [tuple(own.shape) for own in model.weights]:
            raise InputError(
                f"--initial: the {model.name} of {folder} has other layers; expected the same "
                "--preset"
            )
        model.set_weights(weights)


def model_path(path: str | os.PathLike, flag: str) -> Path:
    """The ``.keras`` file that ``--flag=path`` names.

    Raises:
        InputError: If there is none, with the command that makes it.
    """
    path = Path(path)
    is_gan = flag in ("generator", "critic")
    command = "train_gan" if is_gan else "train_classifier"
    if path.is_dir():
        path = open_run(path, command, flag).folder / f"{flag if is_gan else 'classifier'}.keras"
    if not path.is_file():
        folder = path.parent if path.suffix == ".keras" else path
        way_out = default_command_line(command, folder)
        raise InputError(f"--{flag}: {path} does not exist; make it with: {way_out}")
    return path
