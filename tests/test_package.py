"""The wheel holds everything that the package needs; tools/check_package.py tries it in full."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_every_file(tmp_path):
    """Style, script and template of the page included: setup.py names them."""
    source = tmp_path / "source"  # Not the checkout, where an old build would be taken over.
    source.mkdir()
    shutil.copytree(ROOT / "svdam", source / "svdam", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, *words, "--wheel-dir", "dist", "./source"], cwd=tmp_path, check=True
    )
    (wheel,) = (tmp_path / "dist").glob("svdam-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("svdam/")}
    there = (ROOT / "svdam").rglob("*.*")
    expected = {str(path.relative_to(ROOT)) for path in there if "__pycache__" not in path.parts}
    assert "svdam/report/templates/page.html" in packed
    assert packed == expected


def test_another_package_named_tests_does_not_hide_ours(tmp_path):
    """Some distributions install one; a regular package comes before a folder without __init__."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/__init__.py").touch()
    code = "import sys; sys.path.append(sys.argv[1]); import tests.core.test_runs"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
