"""Writing Keras models so that nothing half-written is ever taken for a model."""

import os

import keras

from svdam.core.files import atomic_path


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Saves ``model`` as a ``.keras`` file, atomically."""
    with atomic_path(path) as temporary:
        model.save(temporary)
