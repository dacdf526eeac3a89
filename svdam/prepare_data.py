"""Prepares a data set: songs become a records folder that every other stage reads.

    python -m svdam.prepare_data --flagfile=flags/data.cfg
    python -m svdam.prepare_data --dataset=jamendo --data_dir=datasets/jamendo
    python -m svdam.prepare_data --dataset=fma --data_dir=datasets/fma --fma_all_train
    python -m svdam.prepare_data --dataset=folder --data_dir=~/music
    python -m svdam.prepare_data --dataset=stems --data_dir=~/stems --remix=3

Songs that cannot be used are reported and skipped. Running again takes over what is there and
recomputes only what is missing, changed or damaged.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.prepare_data import PrepareSettings, prepare_data

define_flags(PrepareSettings)


def main() -> None:
    """Prepares the records with the parsed flags."""
    prepare_data(settings_from_flags(PrepareSettings))


if __name__ == "__main__":
    run_command(main)
