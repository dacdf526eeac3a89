"""The run of train_gan: devices, inputs and run folder around `svdam.training.gan`."""

import os
import sys

from svdam.core.distribution import is_chief, make_strategy
from svdam.core.precision import resolve_precision
from svdam.core.runs import start_run
from svdam.core.summaries import tensorboard_command
from svdam.stages.front_ends import require_same_front_end
from svdam.stages.inputs import input_records
from svdam.training.settings import GanSettings


def train_gan(settings: GanSettings) -> None:
    """Trains as the settings say, in a run folder, and says where the results are.

    In a cluster, a process that loses another one starts its command again by itself.

    Raises:
        InputError: If an input is missing or does not fit, or a loss is not finite.
    """
    strategy = make_strategy(settings.strategy)  # Before anything else of TensorFlow runs.
    settings = resolve_precision(settings)

    from svdam.models.loading import initial_path, load_model, model_path
    from svdam.training import gan
    from svdam.training.cluster import WorkerLostError

    records = input_records(settings.records)
    require_same_front_end(
        records,
        initial=settings.initial and initial_path(settings.initial, "generator"),
        classifier=settings.classifier and model_path(settings.classifier, "classifier"),
    )
    try:
        if not is_chief(strategy):
            gan.train_gan(settings, records, None, strategy=strategy)
            return
        classifier = settings.classifier and load_model(
            settings.classifier,
            "classifier",
            (records.front_end.excerpt_frames, records.front_end.num_mels, 1),
            settings.allow_unsafe_model,
            import_module=settings.import_module,
        )
        inputs = {"records_fingerprint": records.fingerprint}
        with start_run(settings.output, "train_gan", settings, inputs) as run:
            summary = gan.train_gan(settings, records, run, classifier, strategy)
            run.mark_complete(summary)
    except WorkerLostError as error:
        print(f"{error}; restarting from the last checkpoint", file=sys.stderr, flush=True)
        os.execv(sys.executable, sys.orig_argv)
    print(f"generator: {run.folder / 'generator.keras'}")
    print(f"watch it with: {tensorboard_command(run.folder)}")
