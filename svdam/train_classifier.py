"""Trains SVDNet, the classifier to explain (Section 3.1, Table 4).

    python -m svdam.train_classifier --flagfile=flags/classifier.cfg

Stopped and started again with the same command, it goes on where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.train_classifier import ClassifierSettings, train_classifier

define_flags(ClassifierSettings)


def main() -> None:
    """Trains with the parsed flags."""
    train_classifier(settings_from_flags(ClassifierSettings))


if __name__ == "__main__":
    run_command(main)
