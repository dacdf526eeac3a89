"""Trains the GAN whose generator is the prior of activation maximization (Section 3.3).

    python -m svdam.train_gan --flagfile=flags/gan.cfg

Stopped and started again with the same command, it goes on where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.training.settings import GanSettings

define_flags(GanSettings)


def main() -> None:
    """Reads the flags and trains."""
    settings = settings_from_flags(GanSettings)

    from svdam.core.runs import start_run
    from svdam.data.builtin import resolve_records
    from svdam.data.records import open_records
    from svdam.models.loading import load_model

    records = open_records(resolve_records(settings.records))
    classifier = settings.classifier and load_model(settings.classifier, "classifier")

    from svdam.training.gan import train_gan

    with start_run(
        settings.output, "train_gan", settings, {"records_fingerprint": records.fingerprint}
    ) as run:
        summary = train_gan(settings, records, run, classifier)
        run.mark_complete(summary)
        print(f"generator: {run.folder / 'generator.keras'}")
        print(f"watch it with: tensorboard --logdir {run.folder}")


if __name__ == "__main__":
    run_command(main)
