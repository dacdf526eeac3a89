"""Measures a response on every excerpt of real recordings, and keeps the most extreme.

    python -m svdam.collect_responses --flagfile=flags/responses.cfg

Writes responses.h5 (all responses; the highest and lowest with song, time, probability and
excerpt), extremes.csv (the highest and lowest without their excerpts) and index.html, a page of
them with their sounds, into --output. Stopped and started again with the same command, it goes on
where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.collect_responses import ResponseSettings, collect_responses

define_flags(ResponseSettings)


def main() -> None:
    """Measures with the parsed flags."""
    collect_responses(settings_from_flags(ResponseSettings))


if __name__ == "__main__":
    run_command(main)
