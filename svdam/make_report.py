"""Makes the report: one page with figures and sounds that opens from disk without a network.

    python -m svdam.make_report --flagfile=flags/report.cfg

Shows the examples before and after optimization, how the configuration was chosen, and the real
excerpts that the examples are compared with. Writes index.html, figures/ (PNG and PDF), images/,
sounds/ (WAV) and TensorBoard summaries into --output.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.stages.make_report import ReportSettings, make_report

define_flags(ReportSettings)


def main() -> None:
    """Makes the report with the parsed flags."""
    make_report(settings_from_flags(ReportSettings))


if __name__ == "__main__":
    run_command(main)
