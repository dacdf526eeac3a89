"""Measures augmented batches a second against training steps a second.

    python tools/benchmarks/augmentation.py [RECORDS]

Both take turns. The pipeline that makes batches runs as in training, on its own threads; the step
is that of train_classifier, fed with a batch that is there already.
"""

import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from svdam.core.config import FRONT_END
from svdam.data.augmentation import SpectralAugmentation
from svdam.data.builtin import resolve_records
from svdam.data.excerpts import labelled_batches
from svdam.data.records import open_records
from svdam.data.spectra import open_spectra
from svdam.models.classifier import build_svdnet
from svdam.training.classifier import ClassifierTrainer
from svdam.training.settings import ClassifierSettings

BATCH = 32
TURNS = 4


def batches_per_second(iterator, count):
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    return count / (time.perf_counter() - start)


def steps_per_second(trainer, excerpts, labels, count):
    start = time.perf_counter()
    for _ in range(count):
        loss = trainer.step(excerpts, labels)["loss"]
    float(loss)
    return count / (time.perf_counter() - start)


def main(records="builtin"):
    with tempfile.TemporaryDirectory() as output:
        settings = ClassifierSettings(output=output)
        spectra = open_spectra(open_records(resolve_records(records)))
        options = dict(batch_size=BATCH, seed=0, augmentation=SpectralAugmentation(FRONT_END))
        trainer = ClassifierTrainer(settings, build_svdnet(np.full(80, -5.0), np.full(80, 2.0)))
        ratios = []
        for turn in range(TURNS + 1):
            # A new iterator each turn: an open one fills its buffers during the other's turn.
            iterator = iter(labelled_batches(spectra, **options, start=100 * turn))
            excerpts, labels = next(iterator)
            made = batches_per_second(iterator, 60)
            del iterator
            taken = steps_per_second(trainer, excerpts, labels, 8)
            if turn:  # The first turn compiles.
                ratios.append(made / taken)
                print(
                    f"turn {turn}: {made:.1f} augmented batches a second, {taken:.2f} training "
                    f"steps a second: {ratios[-1]:.1f} times as many"
                )
        print(f"median: {np.median(ratios):.1f} times as many")


if __name__ == "__main__":
    main(*sys.argv[1:])
