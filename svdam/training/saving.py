"""Writing a trained network with its model card."""

from pathlib import Path

import keras

from svdam.data.records import Records
from svdam.models.saving import save_model
from svdam.results.model_cards import ModelCard, model_card_path, write_model_card


def save_with_card(model: keras.Model, path: Path, card: ModelCard) -> None:
    """Writes a network as a ``.keras`` file, and its card next to it."""
    # First: a card of the network before, left by a kill, would be refused as that of another file.
    model_card_path(path).unlink(missing_ok=True)
    save_model(model, path)
    write_model_card(path, card)


def data_line(records: Records) -> str:
    """What a network was trained on, as a line for its card."""
    counts = records.manifest["counts"]["train"]
    return f"{counts['songs']} songs, {counts['hours']:.2f} hours"
