"""Trains SVDNet, the classifier to explain (Section 3.1, Table 4).

    python -m svdam.train_classifier --flagfile=flags/classifier.cfg

Stopped and started again with the same command, it goes on where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.training.settings import ClassifierSettings

define_flags(ClassifierSettings)


def main() -> None:
    """Reads the flags and trains."""
    settings = settings_from_flags(ClassifierSettings)

    from svdam.core.precision import resolve_precision
    from svdam.core.runs import start_run
    from svdam.core.summaries import tensorboard_command
    from svdam.data.records import open_records
    from svdam.stages.builtin_records import resolve_records

    records = open_records(resolve_records(settings.records))

    from svdam.training.classifier import train_classifier

    settings = resolve_precision(settings)
    inputs = {"records_fingerprint": records.fingerprint}
    with start_run(settings.output, "train_classifier", settings, inputs) as run:
        summary = train_classifier(settings, records, run)
        run.mark_complete(summary)
    error, epoch = summary["validation_error"], summary["best_epoch"] + 1
    print(f"best of {settings.num_epochs} epochs: {epoch}, validation error {error:.2%} of frames")
    print(f"classifier: {run.folder / 'classifier.keras'}")
    print(f"watch it with: {tensorboard_command(run.folder)}")


if __name__ == "__main__":
    run_command(main)
