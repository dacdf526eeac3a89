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
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import svdam
from svdam.core.files import (
    atomic_write,
    is_partial,
    read_json,
    remove_partial_files,
    require_inside,
    write_json,
)
from svdam.core.settings import Settings
from svdam.core.validation import InputError

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
COMPLETE_NAME = "complete.json"
FLAGS_NAME = "flags.cfg"
LOCK_NAME = ".lock"
_EVENTS = "tfevents"  # In the names of TensorBoard's files.
_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "librosa", "soundfile", "tensorboard")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        folder: Where it is.
        config: Contents of its ``config.json``.
        lock: Descriptor of the open lock, while the run is written.
    """

    folder: Path
    config: dict[str, Any]
    lock: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the run, by name."""
        return self.config["settings"]

    @property
    def tensorboard(self) -> Path:
        """Folder of its TensorBoard summaries."""
        return self.folder / "tensorboard"

    @property
    def is_complete(self) -> bool:
        """Whether the stage came to its end."""
        return (self.folder / COMPLETE_NAME).exists()

    def mark_complete(self, summary: dict[str, Any] | None = None) -> None:
        """Says that the stage came to its end, with its main results."""
        self.require_present()
        write_json(self.folder / COMPLETE_NAME, summary or {})

    def require_present(self) -> None:
        """Refuses to go on in a folder that was removed or replaced meanwhile.

        Writing would make a new one, without what came before.

        Raises:
            InputError: If the folder is not the one that was locked.
        """
        if self.lock is not None and not _is_same_file(self.lock, self.folder / LOCK_NAME):
            raise InputError(
                f"--output: {self.folder} was removed or replaced during the run; restore it and "
                "run the same command again to resume"
            )

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
    way_out = "choose another --output"
    if folder.is_dir():  # Before anything is written there.
        _refuse_foreign(folder, command, "output", way_out)
    with locked_folder(folder) as lock:
        config = _configuration(command, settings, inputs or {})
        _refuse_foreign(folder, command, "output", way_out)
        _require_no_way_out(folder)
        remove_partial_files(folder)
        if (folder / CONFIG_NAME).exists():
            if _has_results(folder):
                _refuse_other_settings(folder, config, settings)
            else:  # It failed at its start, for a wrong flag perhaps: nothing of it is kept.
                _remove_events(folder)
        (folder / COMPLETE_NAME).unlink(missing_ok=True)
        # The configuration first: a folder with anything else but without it is not taken for ours.
        write_json(folder / CONFIG_NAME, config)
        with atomic_write(folder / FLAGS_NAME) as stream:
            stream.write(settings.to_flagfile())
        yield Run(folder, config, lock)


def earlier_setting(folder: str | os.PathLike, name: str) -> Any:
    """A setting of the run that ``folder`` holds and that would be resumed; None without one."""
    folder = Path(folder)
    path = folder / CONFIG_NAME
    if not path.is_file() or not _has_results(folder):
        return None
    require_inside(path, folder)
    config = read_json(path)
    settings = config.get("settings") if isinstance(config, dict) else None
    return settings.get(name) if isinstance(settings, dict) else None


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
    way_out = f"create it with: {make or default_command_line(command, folder)}"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--{flag}: {folder} is a file, expected a run folder; {way_out}")
    if not folder.is_dir():
        raise InputError(f"--{flag}: {folder} does not exist; {way_out}")
    _refuse_foreign(folder, command, flag, f"create one with: {make or _command_line(command)}")
    if not (folder / CONFIG_NAME).exists():
        raise InputError(f"--{flag}: {folder} is empty; {way_out}")
    run = Run(folder, read_json(folder / CONFIG_NAME))
    if not run.is_complete:
        raise InputError(
            f"--{flag}: the run in {folder} is incomplete; resume it with: "
            f"python -m svdam.{command} --flagfile={shlex.quote(str(folder / FLAGS_NAME))}"
        )
    return run


def default_command_line(command: str, output: str | os.PathLike) -> str:
    """The command line that makes ``output`` with the stage's own flagfile."""
    # A folder under runs/demo was made by the demo's flagfile.
    place = "flags/demo" if "demo" in Path(output).parts else "flags"
    return f"{_command_line(command, place)} --output={shlex.quote(str(output))}"


def _command_line(command: str, flagfiles: str = "flags") -> str:
    stage = {
        "prepare_data": "data",
        "train_classifier": "classifier",
        "evaluate_classifier": "evaluation",
        "train_gan": "gan",
        "collect_responses": "responses",
        "maximize_activation": "grid",
        "select_hyperparameters": "selection",
        "make_report": "report",
        "explain_classifier": "explain",
    }[command]
    return f"python -m svdam.{command} --flagfile={flagfiles}/{stage}.cfg"


def _refuse_foreign(folder: Path, command: str, flag: str, way_out: str) -> None:
    path = folder / CONFIG_NAME
    require_inside(path, folder)
    if not path.exists():
        # A run that was killed at its very start leaves its lock, and half a file.
        foreign = [name for name in os.listdir(folder) if name != LOCK_NAME]
        if not all(map(is_partial, foreign)):
            raise InputError(
                f"--{flag}: {folder} is not a run folder (it has no {CONFIG_NAME}); {way_out}"
            )
        return
    config = read_json(path)
    parts = {"format": int, "command": str, "settings": dict, "inputs": dict}
    if not isinstance(config, dict) or not all(
        isinstance(config.get(name), kind) for name, kind in parts.items()
    ):
        raise InputError(f"{path}: is not the configuration of a run of this project; {way_out}")
    if config["format"] != FORMAT_VERSION:
        raise InputError(
            f"{path}: has format {config['format']}, expected {FORMAT_VERSION}: "
            "another version of svdam wrote it; repeat the run in another folder"
        )
    if config["command"] != command:
        raise InputError(
            f"--{flag}: {folder} was written by {config['command']}, not by {command}; {way_out}"
        )


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield Path(place, name)


def _has_results(folder: Path) -> bool:
    """Whether a run has left anything to go on from, or to lose."""
    ours = (CONFIG_NAME, FLAGS_NAME, LOCK_NAME)
    return any(path.name not in ours and _EVENTS not in path.name for path in _files(folder))


def _remove_events(folder: Path) -> None:
    for path in _files(folder):
        if _EVENTS in path.name:
            path.unlink()


def _refuse_other_settings(folder: Path, config: dict, settings: Settings) -> None:
    old = read_json(folder / CONFIG_NAME)
    # A setting that an earlier version did not have was what it is by default.
    defaults = {field.name: field.default for field in dataclasses.fields(settings)}
    new_identity = {**settings.identity(), **dict.fromkeys(old["inputs"]), **config["inputs"]}
    old_identity = {**defaults, **old["settings"], **old["inputs"]}
    for name, value in new_identity.items():
        found = old_identity.get(name)
        found = list(found) if isinstance(found, tuple) else found
        if found != value:
            raise InputError(
                f"--output: {folder} holds a run with {name}={found!r}, now it is {value!r}; "
                "choose another --output, or use the same flags"
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
def locked_folder(folder: Path, flag: str = "output") -> Iterator[int]:
    """Makes a folder and holds its lock. The kernel frees it when its holder dies, however.

    Args:
        folder: The folder.
        flag: Name of the flag that named it, for messages.

    Yields:
        Descriptor of the open lock.

    Raises:
        InputError: If it cannot be written, or another process holds its lock, naming it.
    """
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A link planted in the lock's place is not followed: its target would be emptied.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InputError(
            f"--{flag}: {folder} cannot be written ({error.strerror}); fix this, or choose "
            f"another --{flag}"
        ) from error
    with os.fdopen(lock, "r+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = stream.read(200).strip() or "another process"
            raise InputError(
                f"--{flag}: {folder} is being used by {holder}; wait for it, or choose another "
                f"--{flag}"
            ) from None
        except OSError as error:
            warnings.warn(
                f"{folder}: cannot be locked ({error.strerror}); make sure that no other run "
                "writes to it",
                stacklevel=4,
            )
        stream.truncate()
        stream.write(f"{socket.gethostname()}, pid {os.getpid()}\n")
        stream.flush()
        try:
            yield lock
        finally:
            os.truncate(lock, 0)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _require_no_way_out(folder: Path) -> None:
    """Refuses a folder with links to elsewhere, where a run would write or delete."""
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            if os.path.islink(os.path.join(place, name)):
                require_inside(os.path.join(place, name), folder)
