"""All stages of an explanation on a corpus of seconds and untrained networks, by the commands."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MODELS = """
import numpy as np
from svdam.models.classifier import build_svdnet
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
import keras
keras.utils.set_random_seed(1)
build_svdnet(np.full(80, -8.0), np.full(80, 3.0)).save("classifier.keras")
build_generator().save("generator.keras")
build_critic().save("critic.keras")
"""


def make_runs(folder: Path) -> None:
    """Fills ``folder`` with the run folders data, responses, grid, selection, am_min and report."""
    _python(folder, "-c", _MODELS)
    models = ["--classifier=classifier.keras", "--generator=generator.keras"]
    search = [*models, "--learning_rates=0.1,0.01", "--prior_weights=0.1,0.01", "--num_steps=2,4"]
    _command(folder, "prepare_data", "data", "--dataset=builtin", "--num_songs=5", "--song_secs=6")
    _command(
        folder, "collect_responses", "responses", "--records=data", models[0], "--top_n=4",
        "--excerpt_spacing=20",
    )  # fmt: skip
    _command(folder, "maximize_activation", "grid", *search, "--seeds=0-3")
    _command(
        folder, "select_hyperparameters", "selection", "--grid=grid", "--responses=responses",
        "--num_resamples=100", "--critic=critic.keras", "--nearest_layer=fc2",
    )  # fmt: skip
    best = "--flagfile=selection/best.cfg"
    _command(folder, "maximize_activation", "am_min", best, "--direction=min")
    _command(
        folder, "make_report", "report", "--grid=grid", "--responses=responses",
        "--selection=selection", "--minimize=am_min", "--sounds=all",
    )  # fmt: skip


def _command(folder: Path, name: str, output: str, *flags: str) -> None:
    # The last one counts: best.cfg names an output, too.
    _python(folder, "-m", f"svdam.{name}", *flags, f"--output={output}")


def _python(folder: Path, *arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        # The package of this checkout, whatever is installed.
        env={**os.environ, "SVDAM_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, f"{arguments}: {result.stderr[-2000:]}"
