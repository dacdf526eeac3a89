"""Checkpoints from which a training goes on exactly where it stopped."""

import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from svdam.core.validation import InputError, one_line


class Checkpoints:
    """The last few states of a training, each written whole before it is named as the latest."""

    def __init__(self, folder: str | os.PathLike, keep: int, **objects: Any):
        """Manages checkpoints of ``objects``: Keras models, optimisers and variables.

        Args:
            folder: Where the checkpoints are.
            keep: How many to keep.
            **objects: What makes up the state.
        """
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(step=self.step, **objects)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(Path(folder)), max_to_keep=keep
        )

    def restore(self) -> int:
        """Restores the latest state, if there is one, and returns its step (0 without).

        Raises:
            InputError: If the latest checkpoint cannot be read.
        """
        path = self._manager.latest_checkpoint
        if path:
            try:
                self._checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, AssertionError, ValueError) as error:
                raise InputError(
                    f"{path}: the checkpoint cannot be restored ({one_line(error)}); delete it to "
                    "go on from the one before"
                ) from error
        return int(self.step.numpy())

    def save(self, step: int) -> None:
        """Writes the state after ``step`` steps."""
        self.step.assign(step)
        self._manager.save(checkpoint_number=step)
