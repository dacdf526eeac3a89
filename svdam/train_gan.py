"""Trains the GAN whose generator is the prior of activation maximization (Section 3.3).

    python -m svdam.train_gan --flagfile=flags/gan.cfg

Stopped and started again with the same command, it goes on where it was. Several GPUs or machines
share each batch with --strategy: see docs/scaling.md.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.train_gan import GanSettings, train_gan

define_flags(GanSettings)


def main() -> None:
    """Trains with the parsed flags."""
    train_gan(settings_from_flags(GanSettings))


if __name__ == "__main__":
    run_command(main)
