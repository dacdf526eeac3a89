"""Training the GAN of Section 3.3: data, checkpoints, the loop, and what it writes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from svdam.core.front_end import FrontEnd
from svdam.core.interruption import Interruption
from svdam.core.precision import machine_precision
from svdam.core.progress import progress
from svdam.core.runs import Run
from svdam.core.summaries import Summaries
from svdam.core.validation import InputError
from svdam.data.excerpts import clip_batches
from svdam.data.prefetch import Prefetched
from svdam.data.records import Records
from svdam.models.gan_networks import build_networks
from svdam.models.loading import take_weights
from svdam.models.memory import activation_bytes, require_batch_fits
from svdam.results.model_cards import ModelCard
from svdam.training.best_networks import BestNetworks
from svdam.training.checkpoints import Checkpoints
from svdam.training.cluster import Cluster
from svdam.training.gan_watching import GanWatcher
from svdam.training.logistic_gan import LogisticTrainer
from svdam.training.saving import data_line, save_with_card
from svdam.training.settings import GanSettings
from svdam.training.wgan_gp import GanTrainer

_ACTIVATIONS = 6  # Memory of an iteration, in those of a forward pass of both networks; measured.


def train_gan(
    settings: GanSettings,
    records: Records,
    run: Run | None,
    classifier: keras.Model | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> dict[str, Any]:
    """Trains generator and critic until ``settings.num_iterations``, from the last checkpoint on.

    Writes ``generator.keras`` and ``critic.keras`` into the run folder, those with the best score
    into its folder ``best``, and TensorBoard summaries.

    Args:
        settings: See `GanSettings`.
        records: Real songs; clips of the training split are used.
        run: The open run folder; None in processes that are not the chief.
        classifier: SVDNet for the score; None for no score.
        strategy: Splits each batch over devices; None for one device.

    Returns:
        The last losses and score.

    Raises:
        InputError: If a batch does not fit into memory; or if a loss is not finite, naming it: the
            last checkpoint stays as it was.
        KeyboardInterrupt: After SIGINT or SIGTERM, once the state is saved.
        WorkerLostError: If another process is gone.
    """
    cluster = Cluster(strategy)
    cluster.require_equal_shares(settings.batch_size)
    initial = settings.initial if run is not None else None
    trainer = _build_trainer(settings, records, cluster, initial)
    networks = activation_bytes(trainer.generator) + activation_bytes(trainer.critic)
    require_batch_fits(settings.batch_size, _ACTIVATIONS * networks)
    if run is None:
        with Interruption() as interruption:
            return _train(settings, records, trainer, cluster, interruption)
    checkpoints = _checkpoints(run.folder, settings, trainer)
    checkpoints.before_save = run.require_present
    iteration = checkpoints.restore()
    if settings.export:
        if not iteration:
            raise InputError(f"--export: {run.folder} holds no checkpoint yet; train first")
        export(trainer, settings, records, run.folder)
        return {"iterations": iteration, **checkpoints.results}
    with Interruption() as interruption, Summaries(run.tensorboard) as summaries:
        watcher = GanWatcher(settings, records, trainer.averaged, summaries, classifier)
        if iteration == 0:
            summaries.configuration(run.config)
        best = BestNetworks(
            run.folder / "best", lambda place: export(trainer, settings, records, place)
        )
        metrics = _train(
            settings, records, trainer, cluster, interruption, checkpoints, watcher, best
        )
    export(trainer, settings, records, run.folder)
    return metrics


def export(trainer: GanTrainer, settings: GanSettings, records: Records, folder: Path) -> None:
    """Writes both networks as float32 ``.keras`` files, whatever precision they were trained in.

    The generator's weights are the moving average. Each has a model card.
    """
    generator, critic = build_networks(*_networks(settings, records))
    training = (
        f"train_gan: {settings.preset} networks, {settings.objective}, batch "
        f"{settings.batch_size}, {int(trainer.generator_optimizer.iterations.numpy())} iterations"
    )
    for model, trained, outputs in (
        (generator, trainer.averaged, "excerpts"),
        (critic, trainer.critic, "scores"),
    ):
        model.set_weights(trained.get_weights())
        card = ModelCard(records.front_end, outputs, data=data_line(records), training=training)
        save_with_card(model, folder / f"{model.name}.keras", card)


def _train(
    settings: GanSettings,
    records: Records,
    trainer: GanTrainer,
    cluster: Cluster,
    interruption: Interruption,
    checkpoints: Checkpoints | None = None,
    watcher: GanWatcher | None = None,
    best: BestNetworks | None = None,
) -> dict[str, Any]:
    """The loop. Only the chief has the last three; the others follow its state."""
    step = checkpoints.step if checkpoints else tf.Variable(0, dtype=tf.int64, trainable=False)
    iteration = _follow_chief(cluster, trainer, step)
    metrics: dict[str, float] = checkpoints.results if checkpoints else {}
    if watcher and iteration == 0:
        metrics.update(watcher.samples(0))
    with (
        Prefetched(_batches(settings, records, iteration)) as batches,
        progress(
            total=settings.num_iterations, initial=iteration, description="GAN", unit="it"
        ) as bar,
    ):
        while iteration < settings.num_iterations:
            with cluster.watched():
                losses = trainer.iterate(next(batches), tf.constant(iteration, tf.int64))
                losses = _finite(losses, iteration)
            metrics.update(losses)
            iteration += 1
            bar.update()
            is_last = iteration == settings.num_iterations
            stops = cluster.any_wishes(interruption.signal is not None)
            if watcher:
                metrics.update(seen := watcher.look(iteration, losses, is_last or stops, is_last))
                if best and "frechet_distance" in seen:
                    best.offer(iteration, seen["frechet_distance"])
            due = iteration % settings.checkpoint_every == 0 or is_last or stops
            if checkpoints and due:
                checkpoints.save(iteration, metrics)
            if stops:
                raise KeyboardInterrupt
    return {"iterations": iteration, **metrics}


def _follow_chief(cluster: Cluster, trainer: GanTrainer, step: tf.Variable) -> int:
    """Gives all processes the state that the chief restored; returns its iteration."""
    with cluster.strategy.scope():
        shared = tf.Variable(step.numpy(), trainable=False)
    cluster.take_from_chief([shared, *trainer.variables])
    return int(shared.numpy())


def _checkpoints(folder: Path, settings: GanSettings, trainer: GanTrainer) -> Checkpoints:
    return Checkpoints(
        folder / "checkpoints",
        settings.keep_checkpoints,
        generator=trainer.generator,
        averaged=trainer.averaged,
        critic=trainer.critic,
        generator_optimizer=trainer.generator_optimizer,
        critic_optimizer=trainer.critic_optimizer,
    )


def _networks(
    settings: GanSettings, records: Records
) -> tuple[str, FrontEnd, np.ndarray, np.ndarray]:
    """What defines both networks, but for their precision."""
    return settings.preset, records.front_end, records.mean, records.std


def _build_trainer(
    settings: GanSettings, records: Records, cluster: Cluster, initial: str | None
) -> GanTrainer:
    keras.utils.set_random_seed(settings.seed)
    with cluster.strategy.scope():
        precision = machine_precision(settings.precision)
        generator, critic = build_networks(*_networks(settings, records), precision)
        if initial:
            take_weights(initial, generator, critic)
        if settings.objective == "logistic":
            return LogisticTrainer(settings, generator, critic, records.std)
        return GanTrainer(settings, generator, critic)


def _batches(settings: GanSettings, records: Records, start: int) -> tf.data.Dataset:
    """(critic_steps, batch, frames, bands, 1) clips for each iteration from ``start`` on.

    Every process reads the clips of all: some megabytes, and each device takes its share.
    """
    shape = (settings.critic_steps, settings.batch_size)
    clips = clip_batches(
        records,
        batch_size=shape[0] * shape[1],
        seed=settings.seed,
        start=start,
        clip_spacing=settings.clip_spacing,
        clips_per_track=settings.clips_per_track,
    )
    return clips.map(lambda batch: tf.reshape(batch, shape + tuple(batch.shape[1:])))


def _finite(losses: dict[str, tf.Tensor], iteration: int) -> dict[str, float]:
    values = {name: float(value.numpy()) for name, value in losses.items()}
    for name, value in values.items():
        if not np.isfinite(value):
            raise InputError(
                f"iteration {iteration}: {name} is {value}; the run stops, and its last "
                "checkpoint is kept. Try a smaller --learning_rate, or check the data"
            )
    return values
