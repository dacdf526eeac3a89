"""Kills each long command at random moments, starts it again, and compares with undisturbed runs.

    python tools/kill_runs.py --kills=20
    python tools/kill_runs.py --kills=3 --stages=gan,report --seed=5
    python tools/kill_runs.py --kills=3 --world=/tmp/world      made once, and taken again

A command is killed with SIGKILL, which no program can answer; half of the moments are spread over
its whole duration, half over the time in which it writes. It is started again by the same command
line, until it has been killed so often, and must end with the very files of a run that nobody
touched; whenever it ends before the next kill, its files are compared and it starts in an empty
folder again. The built-in corpus is rendered again in each empty folder. Prints a table, and ends
with status 1 if anything differs. These are the figures of docs/reliability.md.
"""

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from small_world import STAGES, arguments, contents, differences, make_corpus

ROOT = Path(__file__).resolve().parents[1]
KILLED = ("data", "classifier", "gan", "responses", "grid", "report", "explain")
# Longer than in the small world, so that there is something to kill; and songs to render.
MORE = {
    "data": ["--dataset=builtin", "--data_dir=", "--num_songs=8", "--song_secs=4"],
    "classifier": ["--num_epochs=3", "--epoch_batches=12"],
    "gan": ["--num_iterations=24"],
    "responses": ["--excerpt_spacing=1"],
    "grid": ["--num_steps=10,30"],
    "explain": ["--response=fc2:*", "--max_steps=8"],
}


class Outcome(NamedTuple):
    """What the kills of one stage came to.

    Attributes:
        kills: How often the command was killed.
        writing: How many of the kills came while it wrote.
        ends: How often it came to its end, and was compared.
        differing: Files that were not as they should be.
    """

    kills: int
    writing: int
    ends: int
    differing: list[str]


class Stage:
    """One stage in a small world."""

    def __init__(self, name: str, world: Path, flags: Sequence[str] = ()):
        self.name, self.world = name, world
        self.output = world / "runs" / name
        self.command = [sys.executable, "-m", *arguments(name), *flags]

    def start(self) -> subprocess.Popen:
        """Starts the command."""
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
            "SVDAM_CACHE": str(self.world / "cache" / self.name),
        }
        return subprocess.Popen(
            self.command,
            cwd=self.world,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def clear(self) -> None:
        """Removes all that the command has made."""
        shutil.rmtree(self.output, ignore_errors=True)
        shutil.rmtree(self.world / "cache" / self.name, ignore_errors=True)

    def finish(self) -> None:
        """Runs the command to its end."""
        process = self.start()
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"{self.name} ended with status {process.returncode}: {errors}")

    def snapshot(self) -> set[tuple[str, int]]:
        """Names and sizes of the files that the command has written."""
        sizes = set()
        for root in (self.output, self.world / "cache" / self.name):
            for place, _, names in os.walk(root):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        path = os.path.join(place, name)
                        sizes.add((path, os.path.getsize(path)))
        return sizes


def undisturbed(stage: Stage) -> tuple[dict[str, bytes], float, float]:
    """Runs a stage; returns its contents, its duration, and how much of that it wrote for."""
    stage.clear()
    started, first_write = time.monotonic(), 0.0
    process = stage.start()
    before = stage.snapshot()
    while process.poll() is None:
        if not first_write and stage.snapshot() != before:
            first_write = time.monotonic()
        time.sleep(0.05)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(f"{stage.name} ended with {process.returncode}: {process.stderr.read()}")
    ended = time.monotonic()
    return contents(stage.output), ended - started, ended - (first_write or started)


def kill(process: subprocess.Popen) -> None:
    """Kills a command; its worker processes, which share its output, have to end as well."""
    process.kill()
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{process.args} was killed, and its worker processes live on") from None


def kill_once(stage: Stage, rng: random.Random, whole_secs: float, writing_secs: float) -> bool:
    """Starts the stage and kills it; returns False if it came to its end before."""
    process = stage.start()
    if rng.random() < 0.5:
        before, deadline = stage.snapshot(), time.monotonic() + 3 * whole_secs
        while stage.snapshot() == before and time.monotonic() < deadline:
            if process.poll() is not None:
                break
            time.sleep(0.01)
        wait_secs = rng.uniform(0, writing_secs)
    else:
        wait_secs = rng.uniform(0, whole_secs)
    try:
        _, errors = process.communicate(timeout=wait_secs)
    except subprocess.TimeoutExpired:
        kill(process)
        return True
    if process.returncode:
        raise SystemExit(f"{stage.name} ended with status {process.returncode}: {errors}")
    return False


def try_stage(stage: Stage, kills: int, rng: random.Random) -> Outcome:
    """Kills a stage so often, and compares each end that it comes to."""
    expected, whole_secs, writing_secs = undisturbed(stage)
    stage.clear()
    count = writing = ends = 0
    differing: list[str] = []
    while count < kills:
        before = stage.snapshot()
        if kill_once(stage, rng, whole_secs, writing_secs):
            count += 1
            writing += stage.snapshot() != before
        else:
            ends += 1
            differing += differences(stage.output, expected)
            stage.clear()
        print(f"  {stage.name}: {count} kills, {ends} ends", flush=True)
    stage.finish()
    return Outcome(count, writing, ends + 1, differing + differences(stage.output, expected))


def prepare(world: Path, stages: list[str]) -> None:
    """Makes the corpus and what the stages read, with small settings, unless they are there."""
    make_corpus(world)
    needed = {
        "data": [],
        "classifier": ["data"],
        "gan": ["data"],
        "responses": ["data", "classifier"],
        "grid": ["data", "classifier", "gan"],
        "report": [name for name in STAGES if name not in ("report", "explain")],
        "explain": ["data", "classifier", "gan"],
    }
    wanted = {name for stage in stages for name in needed[stage]}
    for name in [name for name in STAGES if name in wanted]:
        made = world / "made" / name  # Those under test have folders of the same names.
        if not made.exists():
            line = [sys.executable, "-m", *arguments(name)]
            subprocess.run(line, cwd=world, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
            shutil.copytree(world / "runs" / name, made)
        shutil.rmtree(world / "runs" / name, ignore_errors=True)
        shutil.copytree(made, world / "runs" / name)


def main() -> None:
    """Tries the stages and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--stages", default=",".join(KILLED), help=f"of {', '.join(KILLED)}")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--world", type=Path, help="folder to keep what the stages read in")
    options = parser.parse_args()
    stages, failed = options.stages.split(","), False
    with tempfile.TemporaryDirectory() as folder:
        world = (options.world or Path(folder)).resolve()
        prepare(world, stages)
        for name in stages:
            stage = Stage(name, world, MORE.get(name, []))
            outcome = try_stage(stage, options.kills, random.Random(options.seed))
            failed = failed or bool(outcome.differing)
            print(
                f"{STAGES[name][0]:>20}: {outcome.kills} kills, {outcome.writing} of them after it "
                f"had written something, {outcome.ends} ends compared, "
                f"{len(outcome.differing)} files differ {outcome.differing[:5] or ''}",
                flush=True,
            )
            made = world / "made" / name
            if made.exists():  # What later stages read is as it was.
                shutil.rmtree(stage.output)
                shutil.copytree(made, stage.output)
    sys.exit(failed)


if __name__ == "__main__":
    main()
