"""Builds wheel and source distribution, and tries the wheel as a stranger would.

    python tools/check_package.py

The wheel is installed into an empty environment, build/clean, with the versions of constraints.txt
(downloads that pip has not cached take minutes). There, far from the checkout, every command is
asked for its --help, and some stages of the demo are run in small.
"""

import pathlib
import shutil
import subprocess
import sys
import tarfile
import venv

ROOT = pathlib.Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
CLEAN = ROOT / "build/clean"
SMALL_DEMO = (
    "prepare_data --flagfile=flags/demo/data.cfg --num_songs=3 --song_secs=4",
    "maximize_activation --flagfile=flags/demo/grid.cfg --num_steps=1 --seeds=0"
    " --classifier=checkpoints/demo_svdnet.keras",
)
"""Commands of ``svdam`` that need flagfiles and models of the package, but no earlier run."""
IN_SOURCES = ("README.md", "LICENSE", "flags/grid.cfg", "checkpoints/demo_generator.keras")


def main() -> None:
    """Builds, installs, tries; ends with an error where something is missing."""
    for folder in (DIST, CLEAN):
        shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    (wheel,), (sources,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    missing = [name for name in IN_SOURCES if name not in names]
    if missing:
        sys.exit(f"error: {sources.name} lacks {', '.join(missing)}")
    venv.create(CLEAN, with_pip=True)
    python = str(CLEAN / "bin/python")
    constraints = str(ROOT / "constraints.txt")
    _run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, str(wheel))
    _run(python, "-m", "pip", "check")
    commands = sorted(path.stem for path in (ROOT / "svdam").glob("[a-z]*.py"))
    for command in commands:
        _try_help(python, command)
    for line in SMALL_DEMO:
        subprocess.run([str(CLEAN / "bin/svdam"), *line.split()], cwd=CLEAN, check=True)
    print(f"{wheel.name} and {sources.name}: {len(commands)} commands answer to --help")


def _try_help(python: str, command: str) -> None:
    words = [python, "-m", f"svdam.{command}", "--help"]
    found = subprocess.run(words, cwd=CLEAN, capture_output=True, text=True, check=False)
    expected = "restart" if command == "demo" else "--output"
    if expected not in found.stdout:  # The status is absl's: 0 or 1, by its version.
        sys.exit(f"error: {' '.join(words)} says\n{found.stdout}{found.stderr}")
    print(f"svdam.{command}: {len(found.stdout.splitlines())} lines of help")


def _run(*words: str) -> None:
    subprocess.run(words, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
