"""Tiny records and trainings of the GAN, as commands of their own, for the tests."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from svdam.stages.prepare_data import PrepareSettings, prepare_data

SMALL = (
    "--preset=square",
    "--precision=float32",
    "--batch_size=2",
    "--critic_steps=2",
    "--samples_every=1000",
    "--scalars_every=1",
)


def make_records(folder: Path) -> Path:
    """Three short songs of noise bursts; returns their records."""
    rng = np.random.RandomState(0)
    audio = folder / "audio"
    for split, names in {"train": "ab", "valid": "c", "test": "d"}.items():
        (folder / "filelists").mkdir(parents=True, exist_ok=True)
        (folder / "filelists" / split).write_text("".join(f"{n}.wav\n" for n in names), "utf-8")
        for name in names:
            audio.mkdir(exist_ok=True)
            bursts = rng.normal(size=4 * 22050) * (rng.uniform(size=40) > 0.5).repeat(2205) * 0.1
            soundfile.write(audio / f"{name}.wav", bursts, 22050)
            (folder / "labels").mkdir(exist_ok=True)
            (folder / "labels" / f"{name}.lab").write_text("0 4 nosing\n", "utf-8")
    settings = PrepareSettings(
        output=str(folder / "records"), dataset="jamendo", data_dir=str(folder)
    )
    prepare_data(settings)
    return folder / "records"


def start(
    records: Path, output: Path, *flags: str, program: tuple = ("-m", "svdam.train_gan"), **env: str
) -> subprocess.Popen:
    """Starts train_gan with small settings, and further flags."""
    command = [sys.executable, *program, f"--records={records}", f"--output={output}"]
    return subprocess.Popen(
        [*command, *SMALL, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **env},
    )


def finish(process: subprocess.Popen, secs: float = 120) -> tuple[int, str]:
    """Status and output of a command; a hanging one is ended."""
    try:
        output, _ = process.communicate(timeout=secs)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"still running after {secs} s: {output[-2000:]}") from None
    return process.returncode, output
