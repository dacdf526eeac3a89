"""Explains many units of a classifier, e.g. all of a layer, on one page.

    python -m svdam.explain_classifier --flagfile=flags/explain.cfg
    python -m svdam.explain_classifier --response=fc2:17,logit --output=runs/two

Stopped and started again with the same command, it goes on where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.explain_classifier import ExplainSettings, explain_classifier

define_flags(ExplainSettings)


def main() -> None:
    """Explains with the parsed flags."""
    explain_classifier(settings_from_flags(ExplainSettings))


if __name__ == "__main__":
    run_command(main)
