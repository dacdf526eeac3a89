"""The wheel holds everything that the package needs; tools/check_package.py installs it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from check_package import SMALL_DEMO

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # Not the checkout, where an old build would be taken over.
    source.mkdir()
    shutil.copytree(ROOT / "svdam", source / "svdam", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "flags", "checkpoints"):
        (source / name).symlink_to(ROOT / name)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, *words, "--wheel-dir", "dist", "./source"], cwd=folder, check=True
    )
    (wheel,) = (folder / "dist").glob("svdam-*.whl")
    return wheel


def files_of(folder):
    """All files below a folder of the project, but compiled ones."""
    paths = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(ROOT)) for path in paths if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file(wheel):
    """Style, script and template of the page included: setup.py names them."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("svdam/")}
    there = files_of("svdam")
    there |= {f"svdam/{name}" for folder in ("flags", "checkpoints") for name in files_of(folder)}
    assert "svdam/report/templates/page.html" in packed
    assert packed == there


def test_the_wheel_runs_stages_of_the_demo(wheel, tmp_path):
    """Far from the checkout, with the flagfiles and models in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "packages")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "packages")}
    for line in SMALL_DEMO:
        command = [sys.executable, "-m", "svdam", *line.split()]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "runs/demo/grid/results.h5").exists()


def test_another_package_named_tests_does_not_hide_ours(tmp_path):
    """Some distributions install one; a regular package comes before a folder without __init__."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/__init__.py").touch()
    code = "import sys; sys.path.append(sys.argv[1]); import tests.core.test_runs"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
