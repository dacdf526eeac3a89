"""The law of the house: who may import whom, read off the code."""

import ast
import graphlib
import re
import subprocess
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
COMMANDS = {path.stem for path in PACKAGE.glob("[a-z]*.py")}
LIBRARY_FILES = sorted(path for path in PACKAGE.glob("*/**/*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
OTHER_NAMES = {"svdam.models.lasagne"}  # Modules that stay importable where they were.
WITHOUT_TENSORFLOW = {"core", "audio", "evaluation", "corpus", "datasets", "results", "report"}


def imported_modules(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of the modules that a file imports."""
    return imported_modules_of(ast.parse(path.read_text("utf-8")), path, top_level_only)


def imported_modules_of(tree: ast.Module, path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of the modules that the code of a file imports."""
    nodes = tree.body if top_level_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def imported_while_running(path: Path) -> set[str]:
    """Modules of the package that a file imports, at its top or later, but not for types alone."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return imported_modules_of(tree, path) & MODULES.keys()


def own_parts(names: set[str]) -> set[str]:
    """The libraries and commands of svdam among module names."""
    return {name.split(".")[1] for name in names if name.startswith("svdam.")} - {"__version__"}


def test_the_commands_exist():
    assert {
        "prepare_data",
        "train_classifier",
        "evaluate_classifier",
        "train_gan",
        "collect_responses",
        "maximize_activation",
        "select_hyperparameters",
        "make_report",
        "explain_classifier",
        "demo",
    } == COMMANDS
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} == set(LAW)


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_import_one_way(path):
    library = path.relative_to(PACKAGE).parts[0]
    imported = own_parts(imported_modules(path)) - {library}
    assert not imported & COMMANDS, "a library imports a command"
    assert imported <= LAW[library]


def test_no_circle():
    graph = {name: imported_while_running(path) - {name} for name, path in MODULES.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # A CycleError names the modules.


@pytest.mark.parametrize("name", sorted(MODULES.keys() - OTHER_NAMES))
def test_a_folder_does_not_import_from_the_folders_inside_it(name):
    folder = name.rpartition(".")[0]
    if folder != "svdam":
        inner = {one for one in imported_modules(MODULES[name]) if one.startswith(f"{folder}.")}
        assert not {one for one in inner & MODULES.keys() if one.count(".") > name.count(".")}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_import_no_command(command):
    assert not own_parts(imported_modules(PACKAGE / f"{command}.py")) & COMMANDS


COMMAND = r"""
from svdam\.core\.commands import run_command
from svdam\.core\.settings import define_flags, settings_from_flags
from svdam\.stages\.{name} import (?P<settings>\w+), {name}

define_flags\((?P=settings)\)


def main\(\) -> None:
    \"\"\".+\"\"\"
    {name}\(settings_from_flags\((?P=settings)\)\)


if __name__ == "__main__":
    run_command\(main\)
"""


@pytest.mark.parametrize("command", sorted(COMMANDS - {"demo"}))
def test_commands_are_alike(command):
    """A docstring, then the flags of a stage and a call of it."""
    code = (PACKAGE / f"{command}.py").read_text("utf-8").split('"""\n', 1)[1]
    assert re.fullmatch(COMMAND.format(name=command), code)


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


@pytest.mark.parametrize("stage", sorted(COMMANDS - {"demo"}))
def test_a_run_is_marked_as_complete_when_all_is_written(stage):
    """Nothing follows but the removal of what a run that goes on would need."""
    tree = ast.parse((PACKAGE / f"stages/{stage}.py").read_text("utf-8"))
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.With)]
    calls = [[ast.unparse(line).split("(")[0] for line in body] for body in bodies]
    (inside_run,) = [names for names in calls if "run.mark_complete" in names]
    after = inside_run[inside_run.index("run.mark_complete") + 1 :]
    assert all(name.startswith("remove_") for name in after)


def test_stages_start_without_tensorflow():
    """So that help and wrong flags do not wait for it. Tried for real, in a fresh interpreter."""
    stages = [f"svdam.stages.{name}" for name in COMMANDS - {"demo"}]
    code = f"import {', '.join(stages)}, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_importing_a_library_registers_no_flag():
    """Tried for real, in a fresh interpreter."""
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
