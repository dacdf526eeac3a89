"""Run folders: what a stage wrote, with which settings, and whether it came to its end.

A run folder holds ``config.json`` (command, settings, versions, git revision), ``flags.cfg`` (the
effective flagfile), the stage's results, and ``complete.json`` once the stage is done. Starting the
same command with the same settings again goes on in the same folder; other settings are refused.
"""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import svdam
from svdam.core.files import atomic_write, read_json, write_json
from svdam.core.settings import Settings
from svdam.core.validation import InputError

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
COMPLETE_NAME = "complete.json"
LOCK_NAME = ".lock"
_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "librosa", "soundfile", "tensorboard")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        folder: Where it is.
        config: Contents of its ``config.json``.
    """

    folder: Path
    config: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the run, by name."""
        return self.config["settings"]

    @property
    def is_complete(self) -> bool:
        """Whether the stage came to its end."""
        return (self.folder / COMPLETE_NAME).exists()

    def mark_complete(self, summary: dict[str, Any] | None = None) -> None:
        """Says that the stage came to its end, with its main results."""
        write_json(self.folder / COMPLETE_NAME, summary or {})

    def summary(self) -> dict[str, Any]:
        """What `mark_complete` was given."""
        return read_json(self.folder / COMPLETE_NAME)


@contextlib.contextmanager
def start_run(
    folder: str | os.PathLike,
    command: str,
    settings: Settings,
    inputs: dict[str, Any] | None = None,
) -> Iterator[Run]:
    """Opens the run folder of ``command`` for writing, locked against a second writer.

    Args:
        folder: The run folder; made if it is missing.
        command: Name of the command, as ``train_gan``.
        settings: What the stage will use. A folder with other settings is refused.
        inputs: JSON-ready facts about what the stage reads (as the front end of its records),
            written into the configuration and compared like a setting.

    Raises:
        InputError: If the folder holds something else, a run with other settings, or a running one.
    """
    folder = Path(folder)
    if folder.is_file():
        raise InputError(f"{folder}: is a file, expected a run folder; choose another --output")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        config = _configuration(command, settings, inputs or {})
        _refuse_foreign(folder, command)
        if (folder / CONFIG_NAME).exists():
            _refuse_other_settings(folder, config, settings)
        (folder / COMPLETE_NAME).unlink(missing_ok=True)
        with atomic_write(folder / "flags.cfg") as stream:
            stream.write(settings.to_flagfile())
        write_json(folder / CONFIG_NAME, config)
        yield Run(folder, config)


def open_run(folder: str | os.PathLike, command: str, flag: str, make: str | None = None) -> Run:
    """Opens a finished run for reading.

    Args:
        folder: The run folder.
        command: The command that must have written it.
        flag: Name of the flag that named it, for messages.
        make: Command line that makes such a folder; the command with its flagfile by default.

    Raises:
        InputError: If it is missing, of another command, of another format, or not finished.
    """
    folder = Path(folder)
    way_out = f"make it with: {make or default_command_line(command, folder)}"
    if not folder.is_dir():
        raise InputError(f"--{flag}: {folder} does not exist; {way_out}")
    _refuse_foreign(folder, command, flag)
    if not (folder / CONFIG_NAME).exists():
        raise InputError(f"--{flag}: {folder} is empty; {way_out}")
    run = Run(folder, read_json(folder / CONFIG_NAME))
    if not run.is_complete:
        raise InputError(
            f"--{flag}: the run in {folder} has not come to its end; go on with it: "
            f"python -m svdam.{command} --flagfile={shlex.quote(str(folder / 'flags.cfg'))}"
        )
    return run


def default_command_line(command: str, output: str | os.PathLike) -> str:
    """The command line that makes ``output`` with the stage's own flagfile."""
    stage = {
        "prepare_data": "data",
        "train_classifier": "classifier",
        "evaluate_classifier": "evaluation",
        "train_gan": "gan",
        "collect_responses": "responses",
        "maximize_activation": "grid",
        "select_hyperparameters": "selection",
        "make_report": "report",
    }[command]
    # A folder under runs/demo was made by the demo's flagfile.
    place = "flags/demo" if "demo" in Path(output).parts else "flags"
    return (
        f"python -m svdam.{command} --flagfile={place}/{stage}.cfg "
        f"--output={shlex.quote(str(output))}"
    )


def _refuse_foreign(folder: Path, command: str, flag: str = "output") -> None:
    path = folder / CONFIG_NAME
    if not path.exists():
        if any(entry.name != LOCK_NAME for entry in folder.iterdir()):
            raise InputError(f"--{flag}: {folder} is no run folder (it has no {CONFIG_NAME})")
        return
    config = read_json(path)
    keys = {"format", "command", "settings", "inputs"}
    if not isinstance(config, dict) or not keys <= config.keys():
        raise InputError(f"{path}: is not the configuration of a run of this project")
    if config["format"] != FORMAT_VERSION:
        raise InputError(
            f"{path}: has format {config['format']}, expected {FORMAT_VERSION}: "
            "another version of svdam wrote it; make the run anew in another folder"
        )
    if config["command"] != command:
        raise InputError(f"--{flag}: {folder} was written by {config['command']}, not by {command}")


def _refuse_other_settings(folder: Path, config: dict, settings: Settings) -> None:
    old = read_json(folder / CONFIG_NAME)
    new_identity = {**settings.identity(), **config["inputs"]}
    old_identity = {**old["settings"], **old["inputs"]}
    for name, value in new_identity.items():
        found = old_identity.get(name)
        if found != value:
            raise InputError(
                f"--output: {folder} holds a run with {name}={found!r}, now it is {value!r}; "
                "choose another --output, or the same settings"
            )


def _configuration(command: str, settings: Settings, inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "command": command,
        "settings": settings.to_dict(),
        "inputs": inputs,
        "versions": versions(),
        "git_revision": _git_revision(),
    }


def versions() -> dict[str, str]:
    """Versions of svdam, Python and the packages that results depend on."""
    found = {"svdam": svdam.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _git_revision() -> str | None:
    """Revision of the checkout that svdam is run from; None outside a checkout."""
    root = Path(svdam.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        revision = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock. The kernel frees it when its holder dies, however it dies."""
    path = folder / LOCK_NAME
    with open(path, "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise InputError(f"--output: {folder} is in use by {holder}; wait for it") from None
        stream.seek(0)
        stream.truncate()
        stream.write(f"{socket.gethostname()}, pid {os.getpid()}\n")
        stream.flush()
        try:
            yield
        finally:
            stream.seek(0)
            stream.truncate()
