"""Converts the music taggers of Pons and Serra (2019) to Keras, with a model card.

    pip install --no-deps musicnn
    python tools/convert_musicnn.py --model=MTT_musicnn --output=mtt_musicnn.keras

The package pins libraries of 2019, which is why --no-deps is needed; of it only the weights are
read. A copy of its folder will do as well: --input=FOLDER. Every layer is compared with a NumPy
form of the network before anything is written.
"""

import dataclasses
import importlib.util
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from svdam.audio.front_ends import get_front_end
from svdam.core.commands import run_command
from svdam.core.settings import Settings, define_flags, setting, settings_from_flags
from svdam.core.validation import InputError
from svdam.models.conversion import reference
from svdam.models.conversion.musicnn import (
    BANDS,
    FRAMES,
    MODELS,
    TAGS,
    load_musicnn,
    read_musicnn_variables,
)
from svdam.models.conversion.verification import largest_differences, layer_activations, verified
from svdam.models.saving import save_model
from svdam.results.model_cards import ModelCard, model_card_path, write_model_card

TOLERANCE = 5e-5
"""Largest difference of a layer from the reference: sums of single precision reach 1e-5."""

DATA = {
    "MTT": "MagnaTagATune, about 19,000 training songs, its 50 most frequent tags",
    "MSD": "Million Song Dataset, about 200,000 training songs, its 50 most frequent Last.fm tags",
}
SCORES = {  # ROC-AUC and PR-AUC on the test songs, from the package's experiment.result.
    "MTT_musicnn": (0.907, 0.383),
    "MTT_vgg": (0.903, 0.382),
    "MSD_musicnn": (0.880, 0.289),
    "MSD_vgg": (0.877, 0.282),
}


@dataclasses.dataclass(frozen=True)
class MusicnnSettings(Settings):
    """What `convert_musicnn` takes; the flags of this tool."""

    model: str = setting(
        "MTT_musicnn",
        "Network, trained on MagnaTagATune (MTT) or the Million Song Dataset (MSD), with "
        "musically motivated (musicnn) or small square filters (vgg).",
        choices=MODELS,
    )
    input: str | None = setting(
        None,
        "Folder that contains MTT_musicnn/ etc. The default is that of the package musicnn.",
        path=True,
    )
    output: str | None = setting(
        None, "Model to write, NAME.keras; its model card is NAME.json.", path=True
    )
    overwrite: bool = setting(False, "Replace existing files.")
    seed: int = setting(
        0, "Seed of the random excerpts with which the model is verified.", minimum=0
    )

    def validate(self) -> None:
        """Refuses other files than Keras models."""
        if self.output is None or pathlib.Path(self.output).suffix != ".keras":
            found = self.output or "nothing"
            raise InputError(f"--output: found {found}, expected a name ending in .keras")


def convert_musicnn(settings: MusicnnSettings) -> list[str]:
    """Converts a network. Nothing is written unless all of it succeeds.

    Returns:
        Lines that say what was done.

    Raises:
        InputError: If there is no such checkpoint, if it is damaged or of another network, if the
            output exists, or if the result differs from the reference.
    """
    output = pathlib.Path(str(settings.output))
    for path in (output, model_card_path(output)):
        if path.exists() and not settings.overwrite:
            raise InputError(f"{path}: exists; choose another name, or use --overwrite")
    folder = settings.input or _package_folder()
    model = load_musicnn(folder, settings.model)
    variables, _ = read_musicnn_variables(folder, settings.model)
    shape = (2, FRAMES, BANDS)
    excerpts = np.random.RandomState(settings.seed).uniform(0, 4, shape).astype(np.float32)
    is_vgg = settings.model.endswith("_vgg")
    forward = reference.musicnn_vgg_forward if is_vgg else reference.musicnn_forward
    expected = forward(variables, excerpts)
    found = layer_activations(model, expected, excerpts)
    lines = verified(largest_differences(found, expected), TOLERANCE)
    save_model(model, output)
    card = write_model_card(output, musicnn_card(settings.model))
    lines.append(f"{output}: {settings.model} with {model.count_params():,} parameters")
    lines.append(f"{card}: its card, with the names of its {model.output_shape[-1]} tags")
    return lines


def musicnn_card(model: str) -> ModelCard:
    """The card of one of the networks."""
    roc_auc, pr_auc = SCORES[model]
    training = (
        "Adam, rate 0.001, batch 32, weight decay 1e-5, random excerpts of 187 frames; test songs: "
        f"ROC-AUC {roc_auc:.3f}, PR-AUC {pr_auc:.3f}"
    )
    if model == "MSD_vgg":
        training += "; trained with other pools than those of the released code, which are used"
    data_set = model.split("_")[0]
    return ModelCard(
        front_end=get_front_end("musicnn"),
        outputs="logits",
        output_names=TAGS[data_set],
        activation="sigmoid",
        data=DATA[data_set],
        training=training,
        licence="ISC",
        source=f"{model} of musicnn 0.1.0 (Pons and Serra, 2019), "
        "https://github.com/jordipons/musicnn",
    )


def _package_folder() -> str:
    """Where the package musicnn is installed; it is not imported."""
    package = importlib.util.find_spec("musicnn")
    if package is None or package.origin is None:
        raise InputError(
            "the package musicnn is not installed; pip install --no-deps musicnn, or give a copy "
            "of its folder by --input"
        )
    return os.path.dirname(package.origin)


def main() -> None:
    """Converts with the parsed flags and prints what was done."""
    for line in convert_musicnn(settings_from_flags(MusicnnSettings)):
        print(line)


if __name__ == "__main__":
    define_flags(MusicnnSettings)
    run_command(main)
