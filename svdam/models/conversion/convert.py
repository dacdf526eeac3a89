"""Converts networks between files: Lasagne and TensorFlow 1 to Keras, and Keras to Lasagne."""

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np

from svdam.core.config import FRONT_END, LATENT_SIZE
from svdam.core.npz import write_npz
from svdam.core.settings import Settings, setting
from svdam.core.validation import InputError
from svdam.models.conversion import reference
from svdam.models.conversion.lasagne import (
    load_lasagne_npz,
    read_lasagne_parameters,
    read_meanstd,
    to_lasagne,
)
from svdam.models.conversion.tf1 import load_tf1_checkpoint, read_tf1_variables
from svdam.models.conversion.verification import largest_differences, layer_activations, verified
from svdam.models.loading import load_model
from svdam.models.saving import save_model

VERIFY_EXCERPTS = 4


@dataclasses.dataclass(frozen=True)
class ConversionSettings(Settings):
    """What `convert` takes; the flags of tools/convert_lasagne.py."""

    input: str | None = setting(
        None,
        "Network to convert: an .npz file of Lasagne or, with --to_lasagne, a .keras file.",
        path=True,
    )
    tf1_checkpoint: str | None = setting(
        None,
        "TensorFlow 1 checkpoint to convert instead of --input, as a path without suffix.",
        path=True,
    )
    meanstd: str | None = setting(
        None,
        "Mean and standard deviation of the mel bands (.npz with mean and std) that the network "
        "was trained with. With --to_lasagne: where to write them.",
        path=True,
    )
    standardised_input: bool = setting(
        False, "Convert without --meanstd; the model then takes standardised features."
    )
    output: str | None = setting(
        None, "File to write: .keras or, with --to_lasagne, .npz.", path=True
    )
    to_lasagne: bool = setting(
        False, "Convert a Keras SVDNet to an .npz file for the original code."
    )
    verify: bool = setting(
        False, "Compare the model with the built-in NumPy reference on random input."
    )
    overwrite: bool = setting(False, "Replace existing files.")
    seed: int = setting(0, "Seed of the random input of --verify.", minimum=0)

    def validate(self) -> None:
        """Refuses combinations that contradict each other."""
        if (self.input is None) == (self.tf1_checkpoint is None):
            raise InputError("give either --input or --tf1_checkpoint")
        if self.output is None:
            raise InputError("--output: is not given, expected the file to write")
        if self.to_lasagne and (self.tf1_checkpoint or self.standardised_input):
            raise InputError("--to_lasagne: takes a .keras file as --input, and nothing else")
        if self.meanstd and self.standardised_input:
            raise InputError("--standardised_input: contradicts --meanstd; give one of them")
        suffix = ".npz" if self.to_lasagne else ".keras"
        if Path(self.output).suffix != suffix:
            raise InputError(f"--output: found {self.output}, expected a name ending in {suffix}")


def convert(settings: ConversionSettings) -> list[str]:
    """Converts a network. Nothing is written unless all of it succeeds.

    Returns:
        Lines that say what was done.

    Raises:
        InputError: If the input is missing, damaged or another network, if the output exists, or if
            the result differs from the reference.
    """
    written = [settings.output] + ([settings.meanstd] if settings.to_lasagne else [])
    for path in filter(None, written):
        if os.path.exists(path) and not settings.overwrite:
            raise InputError(f"{path}: exists; choose another name, or use --overwrite")
    if settings.to_lasagne:
        return _convert_to_lasagne(settings)
    if settings.tf1_checkpoint:
        model, differences = _from_tf1(settings)
    else:
        model, differences = _from_lasagne(settings)
    lines = verified(differences)
    save_model(model, _given(settings.output))
    name = "generator" if model.input_shape[1:] == (LATENT_SIZE,) else "SVDNet"
    lines.append(f"{settings.output}: {name} with {model.count_params():,} parameters")
    if settings.standardised_input and name == "SVDNet":
        lines.append("It takes features that are already standardised, not raw log-mel.")
    return lines


def _from_lasagne(settings: ConversionSettings) -> tuple[keras.Model, dict[str, float]]:
    _require_statistics(settings)
    model = load_lasagne_npz(_given(settings.input), settings.meanstd)
    if not settings.verify:
        return model, {}
    excerpts, standardised = _random_excerpts(settings, settings.meanstd)
    parameters = read_lasagne_parameters(_given(settings.input))
    expected = reference.lasagne_forward(parameters, standardised)
    return model, largest_differences(layer_activations(model, expected, excerpts), expected)


def _from_tf1(settings: ConversionSettings) -> tuple[keras.Model, dict[str, float]]:
    variables, _ = read_tf1_variables(_given(settings.tf1_checkpoint))
    is_generator = any(name.startswith("gen/") for name in variables)
    if not is_generator:
        _require_statistics(settings)
    model = load_tf1_checkpoint(_given(settings.tf1_checkpoint), settings.meanstd)
    if not settings.verify:
        return model, {}
    if is_generator:
        latents = np.random.RandomState(settings.seed).randn(VERIFY_EXCERPTS, LATENT_SIZE)
        expected = {"generated log-mel": reference.tf1_generator_forward(variables, latents)}
        found = {"generated log-mel": model(latents.astype(np.float32)).numpy()[..., 0]}
        return model, largest_differences(found, expected)
    excerpts, standardised = _random_excerpts(settings, settings.meanstd)
    expected = reference.tf1_classifier_forward(variables, standardised)
    return model, largest_differences(layer_activations(model, expected, excerpts), expected)


def _convert_to_lasagne(settings: ConversionSettings) -> list[str]:
    path = _given(settings.input)
    if not os.path.isfile(path):
        raise InputError(f"--input: {path}: no such file; expected a .keras file")
    model = load_model(path, "input")
    parameters, mean, std = to_lasagne(model)
    lines = []
    if settings.verify:
        excerpts = _scaled_noise(settings.seed, mean, std)
        standardised = (excerpts.astype(np.float64) - mean) / std
        expected = reference.lasagne_forward(parameters, standardised)
        lines = verified(
            largest_differences(layer_activations(model, expected, excerpts), expected)
        )
    write_npz(_given(settings.output), parameters)
    lines.append(
        f"{settings.output}: {len(parameters)} parameters, in the format of the original predict.py"
    )
    if settings.meanstd:
        write_npz(settings.meanstd, {"mean": mean, "std": std})
        lines.append(f"{settings.meanstd}: mean and std of the mel bands")
    else:
        lines.append(
            "The original code standardises with a separate file; write it with --meanstd=FILE."
        )
    return lines


def _given(path: str | None) -> str:
    """A path that `ConversionSettings` has made sure of."""
    assert path is not None
    return path


def _require_statistics(settings: ConversionSettings) -> None:
    if settings.meanstd is None and not settings.standardised_input:
        raise InputError(
            "--meanstd: is not given, so the model would take features that are already "
            "standardised; specify the file, or --standardised_input if this is intended"
        )


def _random_excerpts(
    settings: ConversionSettings, meanstd_path: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns random raw log-mel excerpts (batch, 115, 80) and the same standardised."""
    mean, std = np.zeros(FRONT_END.num_mels), np.ones(FRONT_END.num_mels)
    if meanstd_path:
        mean, std = read_meanstd(meanstd_path)
    excerpts = _scaled_noise(settings.seed, mean, std)
    return excerpts, (excerpts.astype(np.float64) - mean) / std


def _scaled_noise(seed: int, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    shape = (VERIFY_EXCERPTS, FRONT_END.excerpt_frames, FRONT_END.num_mels)
    return (mean + std * np.random.RandomState(seed).randn(*shape)).astype(np.float32)
