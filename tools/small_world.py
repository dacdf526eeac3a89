"""The whole project in miniature: a corpus of seconds, and every stage with the smallest settings.

    python tools/small_world.py FOLDER          runs all stages in one process, in FOLDER

The tools and tests of reliability run its stages, as the commands that they are, and compare the
run folders that they leave.
"""

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import soundfile

SONG_SECS, RATE = 4, 22050
_HARM = "<script>alert(1)&"
SONGS = {
    "train": [f"c {_HARM}", f"d {_HARM}", f"e {_HARM}", f"g {_HARM}", "no sound ![x](x) <b>"],
    "valid": ["a"],
    "test": ["f <img src=x onerror=alert(1)>"],
}
"""Songs of each split; most names would do harm in a page that did not escape them."""
STAGES = {
    "data": ["prepare_data", "--dataset=jamendo", "--data_dir=corpus", "--num_workers=2"],
    "classifier": [
        *("train_classifier", "--records=runs/data", "--num_epochs=2", "--epoch_batches=6"),
        *("--batch_size=4", "--checkpoint_every=2"),
    ],
    "evaluation": [
        *("evaluate_classifier", "--records=runs/data", "--classifier=runs/classifier"),
        "--num_charts=1",
    ],
    "gan": [
        *("train_gan", "--records=runs/data", "--preset=square", "--num_iterations=8"),
        *("--batch_size=2", "--critic_steps=2", "--checkpoint_every=2", "--samples_every=4"),
        *("--scalars_every=1", "--clip_spacing=20"),
    ],
    "responses": [
        *("collect_responses", "--records=runs/data", "--classifier=runs/classifier"),
        *("--top_n=4", "--excerpt_spacing=2"),
    ],
    # The bound of memory makes chunks of a few latents.
    "grid": [
        *("maximize_activation", "--classifier=runs/classifier", "--generator=runs/gan"),
        *("--learning_rates=0.1,0.01", "--prior_weights=0.01", "--num_steps=4,8", "--seeds=0-3"),
        "--max_memory=1.29",
    ],
    "selection": [
        *("select_hyperparameters", "--grid=runs/grid", "--responses=runs/responses"),
        "--num_resamples=100",
    ],
    "am_min": [
        *("maximize_activation", "--flagfile=runs/selection/best.cfg", "--direction=min"),
    ],
    "report": [
        *("make_report", "--grid=runs/grid", "--selection=runs/selection"),
        *("--responses=runs/responses", "--minimize=runs/am_min"),
        "--evaluation=runs/evaluation",
    ],
    "explain": [
        *("explain_classifier", "--records=runs/data", "--classifier=runs/classifier"),
        *("--generator=runs/gan", "--response=logit,fc2:0,fc2:1", "--seeds=0-2", "--top_n=4"),
        *("--excerpt_spacing=2", "--max_steps=4", "--num_sounds=1"),
    ],
}
"""Command and flags of each stage but --output=runs/STAGE, for the working directory FOLDER."""


def arguments(stage: str) -> list[str]:
    """What follows ``python -m`` to run a stage."""
    command, *flags = STAGES[stage]
    return [f"svdam.{command}", *flags, f"--output=runs/{stage}"]


def make_corpus(folder: Path) -> None:
    """Six songs of tones and noise in Jamendo's layout, each sung for its first half.

    A seventh cannot be read.
    """
    rng = np.random.RandomState(0)
    time_secs = np.arange(SONG_SECS * RATE) / RATE
    for name in ("audio", "labels", "filelists"):
        (folder / "corpus" / name).mkdir(parents=True, exist_ok=True)
    for split, names in SONGS.items():
        listed = "".join(f"{name}.wav\n" for name in names)
        (folder / "corpus/filelists" / split).write_text(listed, "utf-8")
        for name in names:
            tone = np.sin(2 * np.pi * rng.uniform(150, 600) * time_secs)
            samples = 0.3 * tone * (time_secs < SONG_SECS / 2) + 0.01 * rng.normal(size=len(tone))
            if name.startswith("no sound"):
                (folder / f"corpus/audio/{name}.wav").write_text("no sound")
            else:
                soundfile.write(folder / f"corpus/audio/{name}.wav", samples, RATE)
            text = f"0 {SONG_SECS / 2} sing\n{SONG_SECS / 2} {SONG_SECS} nosing\n"
            (folder / f"corpus/labels/{name}.lab").write_text(text, "utf-8")


def run_here(line: list[str]) -> None:
    """Runs a command, as ``["svdam.train_gan", "--seed=1"]``, in this process and folder.

    A command's flags are defined when it is imported, and removed afterwards.
    """
    from absl import flags

    before = set(flags.FLAGS)
    known = line[0] in sys.modules
    command = importlib.import_module(line[0])
    if known:
        importlib.reload(command)
    try:
        flags.FLAGS(line)
        command.main()
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)


def contents(folder: Path) -> dict[str, bytes]:
    """What a run left, byte for byte, by file.

    Left out are TensorBoard's events and the times of the songs' files, which hold the time of day,
    and checkpoints, whose results are in the models.
    """
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and "tfevents" not in path.name
        and path.name != "audio_checksums.json"
        and path.parent.name != "checkpoints"
    }


def differences(folder: Path, expected: dict[str, bytes]) -> list[str]:
    """Files in which a run folder differs from what `contents` found elsewhere."""
    found = contents(folder)
    return sorted(
        name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
    )


def main() -> None:
    """Makes the corpus and runs all stages."""
    folder = Path(sys.argv[1])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    make_corpus(folder)
    os.chdir(folder)
    for stage in STAGES:
        run_here(arguments(stage))


if __name__ == "__main__":
    main()
