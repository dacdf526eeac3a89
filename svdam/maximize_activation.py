"""Synthesises sounds that drive a neuron up or down (eq. 2), for one configuration or a grid.

    python -m svdam.maximize_activation --flagfile=flags/grid.cfg    the paper's 27 configurations
    python -m svdam.maximize_activation --flagfile=flags/am.cfg      one configuration

Stopped and started again with the same command, it goes on where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.maximize_activation import SearchSettings, maximize_activation

define_flags(SearchSettings)


def main() -> None:
    """Optimizes with the parsed flags."""
    maximize_activation(settings_from_flags(SearchSettings))


if __name__ == "__main__":
    run_command(main)
