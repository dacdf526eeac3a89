"""Chooses the settings of activation maximization by eq. 3 (Section 2.4).

    python -m svdam.select_hyperparameters --flagfile=flags/selection.cfg

Ranks the configurations of a grid against the most extreme real responses. Writes ranking.csv,
best.cfg (a flagfile for maximize_activation) and TensorBoard summaries into --output; with --critic
or --nearest_layer also realism.csv: does the ranking agree with measures that ignore the response?
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.select_hyperparameters import SelectionSettings, select_hyperparameters

define_flags(SelectionSettings)


def main() -> None:
    """Selects with the parsed flags."""
    select_hyperparameters(settings_from_flags(SelectionSettings))


if __name__ == "__main__":
    run_command(main)
