"""The devices that share a training, and what the processes among them have to agree on.

Several processes each run the same command (see docs/scaling.md). The chief alone reads and writes
the run folder, and hands its state to the others. When a process dies, the others lose a collective
operation, and TensorFlow cannot take the dead one back in: `WorkerLostError` says so, and all start
again from the chief's last checkpoint.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from svdam.core.distribution import is_chief
from svdam.core.validation import InputError, one_line

# What a collective operation fails with once another process is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
)


class WorkerLostError(RuntimeError):
    """Another process is gone, and the state of this iteration is undefined."""


class Cluster:
    """The devices of a distribution strategy.

    Attributes:
        strategy: The strategy.
        is_chief: Whether this process reads and writes the run folder.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        """``strategy``: None for the one that is in scope, by default one device."""
        self.strategy = strategy or tf.distribute.get_strategy()
        self.is_chief = is_chief(self.strategy)
        self._has_others = isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def require_equal_shares(self, batch_size: int) -> None:
        """Raises InputError if the devices cannot share a batch equally."""
        number = self.strategy.num_replicas_in_sync
        if batch_size % number:
            raise InputError(
                f"--batch_size: found {batch_size}, expected a multiple of the {number} devices "
                "that share a batch"
            )

    def any_wishes(self, wish: bool) -> bool:
        """Whether any process wishes it. All must ask, at the same point."""
        if not self._has_others:
            return wish
        with self.watched():
            return bool(self._votes(tf.constant(float(wish))) > 0)

    def take_from_chief(self, variables: list[tf.Variable]) -> None:
        """Gives all devices the chief's values."""
        if self._has_others:
            with self.watched():
                self._spread(variables)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turns what the loss of another process looks like into `WorkerLostError`."""
        try:
            yield
        except _LOST as error:
            if not self._has_others:
                raise
            raise WorkerLostError(f"another process has died ({one_line(error)})") from error

    @tf.function
    def _votes(self, wish: tf.Tensor) -> tf.Tensor:
        def vote() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(wish))

        return self.strategy.experimental_local_results(self.strategy.run(vote))[0]

    def _spread(self, variables: list[tf.Variable]) -> None:
        @tf.function
        def spread_all() -> None:
            self.strategy.run(spread)

        def spread() -> None:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            for variable in variables:
                value = tf.convert_to_tensor(variable)
                mine = tf.where(is_first, value, tf.zeros_like(value))
                value = context.all_reduce(tf.distribute.ReduceOp.SUM, mine)
                context.merge_call(_assign, args=(variable, value))

        spread_all()


def _assign(strategy: tf.distribute.Strategy, variable: tf.Variable, value: tf.Tensor) -> None:
    strategy.extended.update(variable, lambda mine, new: mine.assign(new), args=(value,))
