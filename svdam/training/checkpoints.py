"""Checkpoints from which a training goes on exactly where it stopped.

A checkpoint is two files, ``ckpt-<step>.data-00000-of-00001`` and ``ckpt-<step>.index``, written
under other names and renamed, the index last: after a kill at any moment the newest index names a
whole checkpoint. Disks damage files too; their checksums show it when they are read, and then the
checkpoint before is taken.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from svdam.core.validation import InputError, one_line


class Checkpoints:
    """The last few states of a training, each written whole before it is named as the latest.

    Attributes:
        step: Of the state.
        before_save: Called before each state is written; it may refuse.
    """

    def __init__(self, folder: str | os.PathLike, keep: int, **objects: Any):
        """Manages checkpoints of ``objects``: Keras models, optimisers and variables.

        Args:
            folder: Where the checkpoints are.
            keep: How many to keep.
            **objects: What makes up the state.
        """
        self.before_save: Callable[[], None] = lambda: None
        logging.getLogger("absl").setLevel(logging.WARNING)  # Or each save logs a line.
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._results = tf.Variable("{}", trainable=False)
        self._folder = Path(folder)
        self._checkpoint = tf.train.Checkpoint(step=self.step, results=self._results, **objects)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(self._folder), max_to_keep=keep
        )

    def restore(self) -> int:
        """Restores the latest state that is whole, and returns its step; 0 if there is none at all.

        Warns about each damaged one that it passes over.

        Raises:
            InputError: If there are checkpoints, and none can be read.
        """
        problems = []
        for number in sorted(self._numbers(), reverse=True):
            path = self._folder / f"ckpt-{number}"
            try:
                self._checkpoint.restore(str(path)).assert_consumed()
            except Exception as error:  # TensorFlow raises whatever damage makes it stumble over.
                problems.append(f"{path}: the checkpoint cannot be restored ({one_line(error)})")
                continue
            for problem in problems:
                warnings.warn(f"{problem}; resuming from step {number} instead", stacklevel=2)
            return int(self.step.numpy())
        if problems:
            raise InputError(
                f"{problems[0]}, nor can any other; choose another --output to start from the "
                "beginning"
            )
        return 0

    @property
    def results(self) -> dict[str, Any]:
        """What was saved with the state that was restored; nothing if there was none."""
        return json.loads(self._results.numpy())

    def save(self, step: int, results: dict[str, Any] | None = None) -> None:
        """Writes the state after ``step`` steps.

        Args:
            step: How many steps were done.
            results: JSON-ready figures of this state, which are not computed again.
        """
        self.before_save()
        self.step.assign(step)
        self._results.assign(json.dumps(results or {}))
        self._manager.save(checkpoint_number=step)
        self._sweep()

    def _numbers(self) -> list[int]:
        found = (re.fullmatch(r"ckpt-(\d+)\.index", path.name) for path in self._files())
        return [int(match[1]) for match in found if match]

    def _files(self) -> list[Path]:
        return list(self._folder.iterdir()) if self._folder.is_dir() else []

    def _sweep(self) -> None:
        """Removes what killed runs left behind: the manager forgets what it had not named."""
        kept = {Path(path).name for path in self._manager.checkpoints}
        for path in self._files():
            match = re.match(r"(ckpt-\d+)(\.|_temp)", path.name)
            if match and (match[1] not in kept or match[2] == "_temp"):
                with contextlib.suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
