"""The run of train_classifier: inputs and run folder around `svdam.training.classifier`."""

from svdam.core.precision import resolve_precision
from svdam.core.runs import start_run
from svdam.core.summaries import tensorboard_command
from svdam.models.loading import model_path
from svdam.stages.front_ends import require_same_front_end
from svdam.stages.inputs import input_records
from svdam.training.settings import ClassifierSettings, output_names


def train_classifier(settings: ClassifierSettings) -> None:
    """Trains as the settings say, in a run folder, and says where the results are.

    Raises:
        InputError: If an input is missing or does not fit, or the loss is not finite.
    """
    records = input_records(settings.records)
    output_names(records.label_names, settings.num_outputs)
    initial = settings.initial and model_path(settings.initial, "initial")
    require_same_front_end(records, initial=initial)

    from svdam.training import classifier

    settings = resolve_precision(settings)
    inputs = {"records_fingerprint": records.fingerprint}
    with start_run(settings.output, "train_classifier", settings, inputs) as run:
        summary = classifier.train_classifier(settings, records, run)
        run.mark_complete(summary)
    error, epoch = summary["validation_error"], summary["best_epoch"] + 1
    print(
        f"best of {settings.num_epochs} epochs: {epoch}, with a frame error of {error:.2%} on the "
        "validation songs"
    )
    print(f"classifier: {run.folder / 'classifier.keras'}")
    print(f"watch it with: {tensorboard_command(run.folder)}")
