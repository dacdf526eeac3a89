"""The law of the house: who may import whom, read off the code."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "svdam"

# Libraries, from the lowest floor up: each may import those of lower floors. Commands, above all,
# may import every library, and no command.
FLOORS = (
    ("core",),
    ("audio", "evaluation"),
    ("corpus", "datasets", "models"),
    ("data", "results"),
    ("training", "explain", "report"),
    ("stages",),
)
LAW = {
    library: {lower for floor in FLOORS[:number] for lower in floor}
    for number, floor in enumerate(FLOORS)
    for library in floor
}
COMMANDS = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
LIBRARY_FILES = sorted(path for path in PACKAGE.glob("*/**/*.py"))
WITHOUT_TENSORFLOW = {"core", "audio", "evaluation", "corpus", "datasets", "results", "report"}


def imported_modules(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of the modules that a file imports."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def own_parts(names: set[str]) -> set[str]:
    """The libraries and commands of svdam among module names."""
    return {name.split(".")[1] for name in names if name.startswith("svdam.")} - {"__version__"}


def test_the_nine_commands_exist():
    assert {
        "prepare_data",
        "train_classifier",
        "evaluate_classifier",
        "train_gan",
        "collect_responses",
        "maximize_activation",
        "select_hyperparameters",
        "make_report",
        "demo",
    } == COMMANDS
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} == set(LAW)


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_import_one_way(path):
    library = path.relative_to(PACKAGE).parts[0]
    imported = own_parts(imported_modules(path)) - {library}
    assert not imported & COMMANDS, "a library imports a command"
    assert imported <= LAW[library]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_import_no_command(command):
    assert not own_parts(imported_modules(PACKAGE / f"{command}.py")) & COMMANDS


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_never_read_flags(path):
    """Only svdam.core.settings and svdam.core.commands, which commands call, touch absl."""
    names = {name for name in imported_modules(path) if name.split(".")[0] == "absl"}
    assert not names or path in (PACKAGE / "core/settings.py", PACKAGE / "core/commands.py")


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_light_libraries_load_without_tensorflow(path):
    if path.relative_to(PACKAGE).parts[0] in WITHOUT_TENSORFLOW:
        roots = {name.split(".")[0] for name in imported_modules(path, top_level_only=True)}
        assert not roots & {"tensorflow", "keras", "apache_beam", "librosa"}


def test_importing_a_library_registers_no_flag():
    """Tried for real, in a fresh interpreter."""
    import subprocess

    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in LIBRARY_FILES]
    code = (
        "import importlib, sys\n"
        "from absl import flags\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "own = [m for m in flags.FLAGS.flags_by_module_dict() if m.startswith('svdam')]\n"
        "sys.exit(str(own) if own else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
