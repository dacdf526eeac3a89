"""A batch of latents split over the devices and processes of a tf.distribute strategy.

Latents do not touch each other, so the replicas need not talk while they search: each takes its
share of the batch, and what they found is joined at the end.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf


class Replicas:
    """Splits arrays along their first axis over the replicas, and joins what comes back."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        """``strategy``: None for the one that is in scope, by default one device."""
        self._strategy = strategy or tf.distribute.get_strategy()
        self._count = self._strategy.num_replicas_in_sync
        ids = self._distributed(lambda replica: np.array(replica, np.int64))
        self._first = int(min(self.local(ids)))  # Of this process, among all replicas.
        self._is_one_process = len(self.local(ids)) == self._count

    def scope(self) -> AbstractContextManager:
        """Where models are made, so that every replica has their weights at hand."""
        return self._strategy.scope()

    def split(self, arrays: Any) -> Any:
        """Each array of the nested structure as one share per replica, of equal lengths.

        Where the batch does not divide, its last row is repeated; `join` leaves it out again.
        """
        return tf.nest.map_structure(self._split_one, arrays)

    def run(self, function: Callable, *args: Any) -> Any:
        """Calls ``function`` once per replica, with its shares of what `split` made."""
        return self._strategy.run(function, args=args)

    def local(self, value: Any) -> list[np.ndarray]:
        """What the replicas of this process hold of one result of `run`."""
        return [part.numpy() for part in self._strategy.experimental_local_results(value)]

    def join(self, parts: Sequence[np.ndarray], batch: int, axis: int = 0) -> np.ndarray:
        """Joins the `local` parts of all processes along ``axis``, to the length ``batch``."""
        if not self._is_one_process:
            shared = self._distributed(lambda replica: parts[replica - self._first])
            parts = [self._strategy.gather(shared, axis).numpy()]
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
        return joined if joined.shape[axis] == batch else joined.take(range(batch), axis)

    def agreed(self, numbers: np.ndarray) -> np.ndarray:
        """An array of integers as the first process has it, in every process."""
        if self._is_one_process:
            return numbers
        shared = self._distributed(lambda replica: numbers if replica == 0 else 0 * numbers)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, shared, axis=None).numpy()

    def _split_one(self, array: np.ndarray) -> Any:
        share = -(-len(array) // self._count)
        rows = np.minimum(np.arange(share * self._count), len(array) - 1)
        shares = np.split(array[rows], self._count)
        return self._distributed(lambda replica: shares[replica])

    def _distributed(self, of_replica: Callable[[int], np.ndarray]) -> Any:
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(of_replica(context.replica_id_in_sync_group))
        )
