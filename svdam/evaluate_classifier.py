"""Scores a classifier on labelled songs: Table 3's row and AUROC.

    python -m svdam.evaluate_classifier --flagfile=flags/evaluation.cfg

Predicts every frame of the test songs, smooths the predictions with a median filter, applies the
threshold that was best on the validation songs (or --threshold), and pools the frames of all songs.
Writes evaluation.json, predictions.npz, charts and TensorBoard summaries into --output.

Prediction files are scored without any classifier:

    python -m svdam.evaluate_classifier --predictions=predictions.npz --labels=datasets/jamendo
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.evaluate_classifier import EvaluationSettings, evaluate_classifier

define_flags(EvaluationSettings)


def main() -> None:
    """Evaluates with the parsed flags."""
    evaluate_classifier(settings_from_flags(EvaluationSettings))


if __name__ == "__main__":
    run_command(main)
