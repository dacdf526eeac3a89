"""Training SVDNet as Schlueter & Grill (ISMIR 2015) do: Section 3.1, with Table 4's network.

Mini-batch gradient descent with Nesterov momentum on the binary cross-entropy, a learning rate that
falls from epoch to epoch, soft targets, and a look at the validation songs after each epoch.
"""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from svdam.core.interruption import Interruption
from svdam.core.precision import machine_precision
from svdam.core.progress import progress
from svdam.core.runs import Run
from svdam.core.summaries import Summaries
from svdam.core.validation import InputError
from svdam.data.augmentation import SpectralAugmentation
from svdam.data.excerpts import labelled_batches
from svdam.data.prefetch import Prefetched
from svdam.data.records import Records
from svdam.data.spectra import open_spectra
from svdam.datasets.labels import in_words
from svdam.evaluation.detection import evaluate
from svdam.models.classifier import build_svdnet
from svdam.models.fully_convolutional import FramePredictor
from svdam.models.loading import load_model
from svdam.models.memory import activation_bytes, require_batch_fits
from svdam.models.precision import in_float32, use_mixed_bfloat16
from svdam.models.probabilities import ends_in_probabilities, probabilities_of
from svdam.results.model_cards import ModelCard
from svdam.training.checkpoints import Checkpoints
from svdam.training.cpu_form import suited_form
from svdam.training.saving import data_line, save_with_card
from svdam.training.settings import ClassifierSettings, output_names

_SHOWN_EXCERPTS = 8
_ACTIVATIONS = 1.5  # Memory of a step, in those of the forward pass; measured.
_SMALLEST_STD = 1e-6  # Of a mel band: below is the rounding of a constant.


def classification_loss(
    logits: tf.Tensor, labels: tf.Tensor, low_target: float = 0.02, high_target: float = 0.98
) -> tf.Tensor:
    """Mean cross-entropy with soft targets.

    Args:
        logits: (batch, 1), or (batch, 2) whose second column is the positive class; with several
            labels (batch, labels), independent of each other.
        labels: (batch,) 1 for positive, 0 for negative; or (batch, labels).
        low_target: Target of label 0.
        high_target: Target of label 1.

    Returns:
        Scalar, over several labels their mean.
    """
    targets = low_target + (high_target - low_target) * labels
    if len(labels.shape) == 2:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    elif logits.shape[-1] == 1:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits[:, 0])
    else:
        pairs = tf.stack([1 - targets, targets], axis=1)
        losses = tf.nn.softmax_cross_entropy_with_logits(pairs, logits)
    return tf.reduce_mean(losses)


def _decisions(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """What the logits decide for at probability 0.5, bool, in the shape of the labels."""
    if len(labels.shape) == 2:
        return logits > 0
    return logits[:, 0] > 0 if logits.shape[-1] == 1 else logits[:, 1] > logits[:, 0]


class ClassifierTrainer:
    """A classifier, its optimiser and one training step."""

    def __init__(self, settings: ClassifierSettings, classifier: keras.Model):
        """Takes a built network, which computes in its own precision; see `ClassifierSettings`."""
        self.classifier = classifier
        self._classify = suited_form(classifier)
        self._settings = settings
        self.optimizer = keras.optimizers.SGD(
            settings.learning_rate, momentum=settings.momentum, nesterov=True
        )
        self.optimizer.build(classifier.trainable_variables)
        self._dropout_seeds = [
            layer.seed_generator.state
            for layer in classifier.layers
            if isinstance(layer, keras.layers.Dropout)
        ]

    @tf.function
    def step(
        self, excerpts: tf.Tensor, labels: tf.Tensor, number: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One step of gradient descent.

        Args:
            excerpts: (batch, frames, bands, 1) raw log-mel.
            labels: (batch,) float32, 0 or 1; or (batch, labels).
            number: Of the step, int64: dropout depends on it and the seed alone, so that a training
                that goes on drops what it would have dropped.

        Returns:
            Scalars ``loss`` and ``accuracy`` (of decisions at probability 0.5).
        """
        settings, variables = self._settings, self.classifier.trainable_variables
        for layer, state in enumerate(self._dropout_seeds):
            state.assign(
                tf.cast([settings.seed * len(self._dropout_seeds) + layer, number], tf.uint32)
            )
        with tf.GradientTape() as tape:
            logits = tf.cast(self._classify(excerpts, training=True), tf.float32)
            loss = classification_loss(logits, labels, settings.low_target, settings.high_target)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        correct = _decisions(logits, labels) == (labels > 0.5)
        accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
        return {"loss": loss, "accuracy": accuracy}


def train_classifier(settings: ClassifierSettings, records: Records, run: Run) -> dict[str, Any]:
    """Trains SVDNet, from the last checkpoint on.

    Writes ``classifier.keras``, the network of the epoch with the fewest wrong validation frames,
    and ``classifier_last.keras`` into the run folder, and TensorBoard summaries. Validation and
    files are in float32, whatever precision the training is in.

    Args:
        settings: See `ClassifierSettings`.
        records: Labelled songs.
        run: The open run folder.

    Returns:
        Validation scores of the best epoch.

    Raises:
        InputError: If there are no labelled songs, or the loss is not finite.
        KeyboardInterrupt: After SIGINT or SIGTERM, once the state is saved.
    """
    keras.utils.set_random_seed(settings.seed)
    classifier = _build_classifier(settings, records)
    if machine_precision(settings.precision) == "mixed_bfloat16":
        use_mixed_bfloat16(classifier)
    require_batch_fits(settings.batch_size, _ACTIVATIONS * activation_bytes(classifier))
    trainer = ClassifierTrainer(settings, classifier)
    best = _Best()
    checkpoints = Checkpoints(
        run.folder / "checkpoints",
        settings.keep_checkpoints,
        classifier=classifier,
        optimizer=trainer.optimizer,
        best=best.variables,
    )
    checkpoints.before_save = run.require_present
    step = checkpoints.restore()
    num_steps = settings.num_epochs * settings.epoch_batches
    with (
        Summaries(run.tensorboard) as summaries,
        Prefetched(_batches(settings, records, step)) as batches,
        Interruption() as interruption,
    ):
        validation = _Validation(records, settings)
        if step == 0:
            summaries.configuration(run.config)
            _show_excerpts(summaries, records, settings)
        with progress(total=num_steps, initial=step, description="classifier", unit="batch") as bar:
            window: list[dict[str, float]] = []
            while step < num_steps:
                epoch = step // settings.epoch_batches
                rate = settings.learning_rate * settings.learning_rate_decay**epoch
                trainer.optimizer.learning_rate.assign(rate)
                window.append(
                    _finite(trainer.step(*next(batches), tf.constant(step, tf.int64)), step)
                )
                step += 1
                bar.update()
                epoch_ends = step % settings.epoch_batches == 0
                if epoch_ends or len(window) == 50:
                    _log_training(summaries, window, rate, step)
                    bar.set_postfix(loss=f"{window[-1]['loss']:.3f}")
                    window = []
                if epoch_ends:
                    with in_float32(classifier):
                        scores = validation.scores(classifier)
                        if best.update(scores["error"], epoch):
                            card = _model_card(settings, records, epoch, scores["error"])
                            save_with_card(classifier, run.folder / "classifier.keras", card)
                    summaries.scalars(
                        {f"validation/{name}": value for name, value in scores.items()}, step
                    )
                due = epoch_ends or step % settings.checkpoint_every == 0
                if due or interruption.signal is not None:
                    checkpoints.save(step)
                interruption.raise_if_requested()
    with in_float32(classifier):
        card = _model_card(settings, records, settings.num_epochs - 1)
        save_with_card(classifier, run.folder / "classifier_last.keras", card)
    return {"steps": step, "best_epoch": best.epoch, "validation_error": best.error}


def _model_card(
    settings: ClassifierSettings, records: Records, epoch: int, error: float | None = None
) -> ModelCard:
    training = f"train_classifier: {epoch + 1} epochs of {settings.epoch_batches} batches"
    if error is not None:
        training += f", frame error {error:.2%} on the validation songs"
    names = records.label_names
    return ModelCard(
        records.front_end,
        "logits",
        output_names=output_names(names, settings.num_outputs),
        activation="sigmoid" if settings.num_outputs == len(names) else "softmax",
        data=data_line(records),
        training=training,
    )


def _build_classifier(settings: ClassifierSettings, records: Records) -> keras.Model:
    """SVDNet with the records' statistics; or a trained classifier, with its own."""
    front_end = records.front_end
    if not settings.initial:
        _require_varied_bands(records)
        sides = front_end.excerpt_frames, front_end.num_mels
        return build_svdnet(records.mean, records.std, settings.num_outputs, *sides)
    excerpt = (front_end.excerpt_frames, front_end.num_mels, 1)
    classifier = load_model(
        settings.initial,
        "initial",
        excerpt,
        settings.allow_unsafe_model,
        import_module=settings.import_module,
    )
    if classifier.output_shape[1:] != (settings.num_outputs,):
        raise InputError(
            f"--initial: {settings.initial} has outputs of shape {classifier.output_shape[1:]}, "
            f"expected ({settings.num_outputs},) as --num_outputs says"
        )
    if ends_in_probabilities(classifier):
        raise InputError(
            f"--initial: {settings.initial} ends in probabilities, but training requires logits; "
            "save it without its sigmoid or softmax"
        )
    return classifier


def _require_varied_bands(records: Records) -> None:
    """Refuses bands that cannot be standardised, as those of music that was cut off at 4 kHz."""
    (still,) = np.nonzero(records.std < _SMALLEST_STD)
    if len(still):
        raise InputError(
            f"--records: {records.folder} holds training songs in which {len(still)} of "
            f"{len(records.std)} mel bands never change (from band {still[0]}), so they cannot be "
            "standardised; add songs with energy at these frequencies"
        )


def _batches(settings: ClassifierSettings, records: Records, start: int) -> tf.data.Dataset:
    """Training batches from number ``start`` on, augmented if asked for."""
    batches = functools.partial(
        labelled_batches, batch_size=settings.batch_size, seed=settings.seed, start=start
    )
    if not settings.augment:
        return batches(records)
    source = open_spectra(records, audio=settings.audio)
    augmentation = SpectralAugmentation(records.front_end)
    return batches(source, augmentation=augmentation)


class _Best:
    """The lowest validation error so far, kept in checkpoints."""

    def __init__(self):
        self.variables = tf.Variable([np.inf, -1.0], dtype=tf.float64, trainable=False)

    @property
    def error(self) -> float:
        """Share of wrong frames, 0 to 1; infinite before the first epoch."""
        return float(self.variables[0].numpy())

    @property
    def epoch(self) -> int:
        """Number of that epoch; -1 before the first."""
        return int(self.variables[1].numpy())

    def update(self, error: float, epoch: int) -> bool:
        """Takes note of an epoch; True if it is the best so far, or the best seen again."""
        if error < self.error or epoch == self.epoch:
            self.variables.assign([error, epoch])
            return True
        return False


class _Validation:
    """Scores on the labelled validation songs, every frame of them."""

    def __init__(self, records: Records, settings: ClassifierSettings):
        songs = [song for song in records.songs("valid") if song.has_labels]
        if not songs:
            raise InputError(
                f"--records: {records.folder} contains no labelled validation songs, which are "
                "needed to choose the best epoch; prepare the data with labels and a validation "
                "split"
            )
        self._songs = songs[: settings.validation_songs]
        self._records = records

    def scores(self, classifier: keras.Model) -> dict[str, float]:
        """Error, accuracy, F1 and AUROC, 0 to 1, and the threshold they were taken at.

        With several labels, there are also those of each label, as ``NAME/error``, and all others
        are means over the labels.
        """
        predictor = FramePredictor(classifier, self._records.front_end)
        labels = [label for label in map(self._records.labels, self._songs) if label is not None]
        names = self._records.label_names
        kind = "logits" if len(names) == 1 else "multilabel_logits"
        predictions = [
            probabilities_of(predictor.predict(self._records.log_mel(song)), kind)
            for song in self._songs
        ]
        found = {
            name: _scores(
                [prediction[:, index - len(names)] for prediction in predictions],
                [label.reshape(len(label), -1)[:, index] for label in labels],
                name,
            )
            for index, name in enumerate(names)
        }
        if len(names) == 1:
            return found[names[0]]
        means = {
            score: float(np.mean([one[score] for one in found.values() if score in one]))
            for score in ("error", "accuracy", "f1", "auroc")
            if any(score in one for one in found.values())
        }
        return means | {f"{name}/{s}": v for name, one in found.items() for s, v in one.items()}


def _scores(predictions: list[np.ndarray], labels: list[np.ndarray], name: str) -> dict[str, float]:
    """Scores of one label, those that are defined."""
    scores = evaluate(predictions, labels, label=in_words(name))
    names = ("error", "accuracy", "f1", "auroc", "threshold")
    return {score: float(scores[score]) for score in names if scores[score] is not None}


def _finite(values: dict[str, tf.Tensor], step: int) -> dict[str, float]:
    numbers = {name: float(value.numpy()) for name, value in values.items()}
    if not np.isfinite(numbers["loss"]):
        raise InputError(
            f"batch {step}: the loss is {numbers['loss']}; the run stops, and its last checkpoint "
            "is kept. Try a smaller --learning_rate"
        )
    return numbers


def _log_training(
    summaries: Summaries, window: list[dict[str, float]], rate: float, step: int
) -> None:
    means = {
        f"training/{name}": float(np.mean([row[name] for row in window])) for name in window[0]
    }
    summaries.scalars({**means, "training/learning_rate": rate}, step)


def _show_excerpts(summaries: Summaries, records: Records, settings: ClassifierSettings) -> None:
    """Sample excerpts with their labels."""
    batches = labelled_batches(records, batch_size=64, seed=settings.seed)
    excerpts, labels = (part.numpy() for part in next(iter(batches)))
    for name, label in zip(records.label_names, labels.reshape(len(labels), -1).T, strict=True):
        words = in_words(name)
        for title, chosen in ((words, label > 0.5), (f"no {words}", label <= 0.5)):
            if chosen.any():
                shown = excerpts[chosen][:_SHOWN_EXCERPTS]
                summaries.log_mels(f"excerpts/{title}", shown, 0, columns=4)
