"""Runs everything on the built-in corpus, from sound to explanation, in one command.

    python -m svdam.demo

Runs the other commands as a user would, one after the other, each in its own process with its
flagfile in flags/demo/, and writes to runs/demo in the current folder. First comes the paper's way,
with small models for rendered songs and a small grid; then an atlas of nine neurons of the
classifier for real music. When it is started again, it resumes where it was stopped.
"""

import dataclasses
import shlex
import subprocess
import sys
import time
from pathlib import Path

from svdam.core.commands import run_command
from svdam.core.settings import Settings, define_flags, setting, settings_from_flags
from svdam.core.validation import InputError

_BEST = "runs/demo/selection/best.cfg"


@dataclasses.dataclass(frozen=True)
class DemoSettings(Settings):
    """Settings of the demo."""

    restart: bool = setting(False, "Repeat all runs from the beginning instead of resuming.")


define_flags(DemoSettings)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A command with its flags, and the run folder that it fills."""

    command: str
    flagfile: str
    output: str
    flags: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """The command line, as a user would type it."""
        return ["-m", f"svdam.{self.command}", f"--flagfile={self.flagfile}", *self.flags]


def stages() -> list[Stage]:
    """All stages, in the order in which the data flows."""

    def own(command: str, name: str) -> Stage:
        return Stage(command, f"flags/demo/{name}.cfg", f"runs/demo/{name}")

    return [
        own("prepare_data", "data"),
        own("train_classifier", "classifier"),
        own("evaluate_classifier", "evaluation"),
        own("train_gan", "gan"),
        own("collect_responses", "responses"),
        own("maximize_activation", "grid"),
        own("select_hyperparameters", "selection"),
        Stage("maximize_activation", _BEST, "runs/demo/am", ("--output=runs/demo/am",)),
        Stage(
            "maximize_activation",
            _BEST,
            "runs/demo/am_min",
            ("--direction=min", "--output=runs/demo/am_min"),
        ),
        own("make_report", "report"),
        own("explain_classifier", "explain"),
    ]


def main() -> None:
    """Runs all stages and says where the results are."""
    settings = settings_from_flags(DemoSettings)
    all_stages = stages()
    started = time.monotonic()
    for number, stage in enumerate(all_stages, 1):
        print(f"\n[{number}/{len(all_stages)}] python {shlex.join(stage.arguments())}", flush=True)
        _run(stage, settings.restart)
    minutes = (time.monotonic() - started) / 60
    report, atlas = Path("runs/demo/report"), Path("runs/demo/explain")
    print(
        f"\nThe demo took {minutes:.1f} minutes.\n"
        f"  report:      {_page(report)}\n"
        f"  atlas:       {_page(atlas)}\n"
        f"  figures:     {report / 'figures'}\n"
        f"  sounds:      {report / 'sounds'}\n"
        f"  TensorBoard: runs/demo\n"
        f"Look at the curves, images and sounds of all stages with:\n"
        f"  {Path(sys.executable).parent / 'tensorboard'} --logdir runs/demo --host localhost\n"
        "With more than 40 runs, TensorBoard starts with all of them deselected."
    )


def _page(folder: Path) -> str:
    return (folder / "index.html").resolve().as_uri()


def _run(stage: Stage, restart: bool) -> None:
    output = Path(stage.output)
    if restart:
        _remove(output)
    elif (output / "complete.json").exists():
        print(f"already complete: {output} (--restart repeats it)", flush=True)
        return
    started = time.monotonic()
    status = subprocess.run([sys.executable, *stage.arguments()], check=False).returncode
    if status:
        raise InputError(f"{stage.command} ended with status {status}; the demo stops here")
    print(f"took {time.monotonic() - started:.0f} s", flush=True)


def _remove(folder: Path) -> None:
    """Deletes a run folder of an earlier demo, and nothing else."""
    import shutil

    if (folder / "config.json").exists():
        shutil.rmtree(folder)


if __name__ == "__main__":
    run_command(main)
