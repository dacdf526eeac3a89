"""Converts models of older versions of Keras, and SavedModels, to files of Keras 3.

    python tools/import_model.py --input=old.h5 --output=classifier.keras
    python tools/import_model.py --input=saved_model --output=classifier.keras --allow_unsafe_model

Files of Keras 2 (.h5, .hdf5, .keras) and SavedModels that hold the configuration of a Keras model.
What Keras 3 cannot read is read by Keras 2, the package tf_keras; where that is installed, the
outputs of both are compared on random input. Other SavedModels are wrapped in a layer that runs
their graph, if it has gradients.

With --front_end, a model card is written next to the model.
"""

import dataclasses
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import keras

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, output_setting, setting, settings_from_flags
from svdam.core.validation import InputError
from svdam.models.conversion.older_keras import ImportSettings, converted_model
from svdam.models.probabilities import kind_of_output, num_classes
from svdam.models.saving import save_model
from svdam.models.shapes import plain_model
from svdam.results.model_cards import ModelCard, model_card_path, write_model_card
from svdam.stages.front_ends import named_front_end


@dataclasses.dataclass(frozen=True)
class ToolSettings(ImportSettings):
    """The flags of this tool."""

    front_end: str | None = setting(
        None,
        "Front end of the excerpts that the model takes: ismir2015, musicnn, yamnet, vggish, "
        "librosa or a JSON file. If it is given, a model card is written.",
        path=True,
    )
    output_is: str = output_setting()
    output_names: tuple[str, ...] = setting((), "Names of the outputs, in order, for the card.")
    data: str | None = setting(None, "Training data, in one line, for the card.")
    licence: str | None = setting(None, "Licence of the weights, e.g. MIT, for the card.")
    source: str | None = setting(None, "Origin of the weights, e.g. an address, for the card.")

    def validate(self) -> None:
        """Refuses facts for a card that is not written."""
        super().validate()
        for name in ("output_names", "data", "licence", "source"):
            if getattr(self, name) and self.front_end is None:
                raise InputError(f"--{name}: is for the model card, which requires --front_end")


def import_with_card(settings: ToolSettings) -> list[str]:
    """Converts a model, and writes its card if its front end is named.

    Returns:
        Lines that say what was done.

    Raises:
        InputError: If the model cannot be converted, or the card does not fit it.
    """
    output = pathlib.Path(str(settings.output))
    place = model_card_path(output)
    if settings.front_end is not None and place.exists() and not settings.overwrite:
        raise InputError(f"{place}: exists; choose another name, or add --overwrite")
    model, lines = converted_model(settings)
    card = None if settings.front_end is None else model_card(model, settings)
    save_model(model, output)
    if card is not None:
        lines.append(f"{write_model_card(output, card)}: its model card")
    return lines


def model_card(model: keras.Model, settings: ToolSettings) -> ModelCard:
    """What is known about a converted model.

    Raises:
        InputError: If the model takes excerpts of another front end, its outputs are not known to
            be logits or probabilities, or they are not as many as the names.
    """
    front_end = named_front_end(str(settings.front_end))
    model = plain_model(model, f"--input: {settings.input}")
    sizes = [size for size in model.input_shape[1:] if size != 1]
    if len(sizes) != 2 or sizes[1] not in (front_end.num_mels, None):
        raise InputError(
            f"--front_end: {settings.front_end} has {front_end.num_mels} bands, but the model "
            f"takes {tuple(model.input_shape[1:])}"
        )
    count = num_classes(model)
    if settings.output_names and len(settings.output_names) != count:
        raise InputError(
            f"--output_names: found {len(settings.output_names)} names, but the model has {count} "
            "outputs"
        )
    kind = kind_of_output(model, settings.output_is, f"--input: {settings.input}")
    activation = "softmax" if kind == "logits" and count != 1 else "sigmoid"
    return ModelCard(
        front_end=dataclasses.replace(
            front_end, excerpt_frames=sizes[0] or front_end.excerpt_frames
        ),
        outputs="probabilities" if kind == "probabilities" else "logits",
        output_names=settings.output_names,
        activation=None if kind == "probabilities" else activation,
        data=settings.data,
        licence=settings.licence,
        source=settings.source,
    )


def main() -> None:
    """Converts with the parsed flags and prints what was done."""
    for line in import_with_card(settings_from_flags(ToolSettings)):
        print(line)


if __name__ == "__main__":
    define_flags(ToolSettings)
    run_command(main)
