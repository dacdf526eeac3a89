"""The run of train_gan: devices, inputs and run folder around the training itself."""

import os
import sys

from svdam.core.distribution import is_chief, make_strategy
from svdam.core.precision import resolve_precision
from svdam.core.runs import start_run
from svdam.core.summaries import tensorboard_command
from svdam.data.records import open_records
from svdam.models.loading import load_model
from svdam.stages.builtin_records import resolve_records
from svdam.training.settings import GanSettings


def run_gan(settings: GanSettings) -> None:
    """Trains as the settings say, in a run folder, and says where the results are.

    In a cluster, a process that loses another one starts its command again by itself.

    Raises:
        InputError: For whatever the user can mend.
    """
    strategy = make_strategy(settings.strategy)
    settings = resolve_precision(settings)

    from svdam.training.cluster import WorkerLostError
    from svdam.training.gan import train_gan

    records = open_records(resolve_records(settings.records))
    try:
        if not is_chief(strategy):
            train_gan(settings, records, None, strategy=strategy)
            return
        classifier = settings.classifier and load_model(
            settings.classifier,
            "classifier",
            (records.front_end.excerpt_frames, records.front_end.num_mels, 1),
            settings.allow_unsafe_model,
        )
        inputs = {"records_fingerprint": records.fingerprint}
        with start_run(settings.output, "train_gan", settings, inputs) as run:
            summary = train_gan(settings, records, run, classifier, strategy)
            run.mark_complete(summary)
            print(f"generator: {run.folder / 'generator.keras'}")
            print(f"watch it with: {tensorboard_command(run.folder)}")
    except WorkerLostError as error:
        print(f"{error}; starting again from the last checkpoint", file=sys.stderr, flush=True)
        os.execv(sys.executable, sys.orig_argv)
