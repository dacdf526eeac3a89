"""Synthesises sounds that drive a neuron up or down (eq. 2), for one configuration or a grid.

    python -m svdam.maximize_activation --flagfile=flags/grid.cfg    the paper's 27 configurations
    python -m svdam.maximize_activation --flagfile=flags/am.cfg      one configuration

Stopped and started again with the same command, it goes on where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.explain.settings import SearchSettings

define_flags(SearchSettings)


def main() -> None:
    """Reads the flags and searches."""
    settings = settings_from_flags(SearchSettings)

    from svdam.stages.maximize_activation import explain

    explain(settings)


if __name__ == "__main__":
    run_command(main)
