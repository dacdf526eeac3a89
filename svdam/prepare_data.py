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
from svdam.stages.prepare_data import PrepareSettings

define_flags(PrepareSettings)


def main() -> None:
    """Prepares with the parsed flags and prints what came out."""
    from svdam.data.overview import summary_lines, write_summaries
    from svdam.stages.prepare_data import prepare_data

    settings = settings_from_flags(PrepareSettings)
    prepare_data(settings)
    write_summaries(settings.output)
    print("\n".join(summary_lines(settings.output)))


if __name__ == "__main__":
    run_command(main)
