"""Measures augmented batches a second against training steps a second.

    python tools/benchmarks/augmentation.py [RECORDS]

Both take turns. The pipeline that makes batches runs as in training, on its own threads; the step
is that of train_classifier, fed with a batch that is there already.
"""

import itertools
import os
import tempfile
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from measuring import parser, report, speed_table, take_turns

from svdam.core.config import FRONT_END
from svdam.data.augmentation import SpectralAugmentation
from svdam.data.excerpts import labelled_batches
from svdam.data.spectra import open_spectra
from svdam.models.classifier import build_svdnet
from svdam.stages.inputs import input_records
from svdam.training.classifier import ClassifierTrainer
from svdam.training.settings import ClassifierSettings

BATCH = 32
STEP, MADE = "a training step", "an augmented batch"


def main() -> None:
    flags = parser(__doc__, turns=4)
    flags.add_argument("records", nargs="?", default="builtin")
    options = flags.parse_args()
    with tempfile.TemporaryDirectory() as output:
        spectra = open_spectra(input_records(options.records))
        trainer = ClassifierTrainer(
            ClassifierSettings(output=output), build_svdnet(np.full(80, -5.0), np.full(80, 2.0))
        )
        stream = dict(batch_size=BATCH, seed=0, augmentation=SpectralAugmentation(FRONT_END))
        turns = itertools.count()

        def batches() -> Iterator[tuple]:
            # A new iterator each turn: an open one fills its buffers during the other's turn.
            return iter(labelled_batches(spectra, **stream, start=100 * next(turns)))

        excerpts, labels = next(batches())

        def make(count: int = 60) -> int:
            for _ in itertools.islice(batches(), count):
                pass
            return count

        def train(count: int = 8) -> int:
            for number in range(count):
                loss = trainer.step(excerpts, labels, tf.constant(number, tf.int64))["loss"]
            float(loss)
            return count

        costs = take_turns({MADE: make, STEP: train}, options.turns)
    table = speed_table(costs, "batch", MADE)
    report("augmentation", "Augmented batches against training steps", [table], options.output)


if __name__ == "__main__":
    main()
