"""Files that may lie on this machine or in an object store.

A path with ``://`` (``s3://bucket/folder``, ``http://host/song.ogg``) goes through
``tf.io.gfile``, for which tensorflow-io registers the file systems; every other path is plain
``os``. TensorFlow is imported only when the first remote path is met.

Nothing half-written is ever visible: local files are renamed into place, and remote objects are
copied, whole, from a local temporary file (an object store publishes an object when its upload
ends).
"""

import collections
import concurrent.futures
import contextlib
import functools
import http.client
import os
import shutil
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from svdam.core.files import atomic_path, expand_home
from svdam.core.tensorflow_io import load_tensorflow_io
from svdam.core.validation import InputError, one_line

_WEB_TIMEOUT_SECS = 60
_THREADS = 32
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def is_remote(path: str | os.PathLike) -> bool:
    """Whether ``path`` is a URL, for ``tf.io.gfile``."""
    return "://" in str(path)


def is_web_address(path: str | os.PathLike) -> bool:
    """Whether ``path`` is read from a web server."""
    return str(path).startswith(("http://", "https://"))


def cache_folder() -> Path:
    """``$SVDAM_CACHE``, else ``$XDG_CACHE_HOME/svdam``, else ``~/.cache/svdam``.

    Raises:
        InputError: If there is no home folder and neither variable says where else.
    """
    for variable, below in (("SVDAM_CACHE", ""), ("XDG_CACHE_HOME", "svdam")):
        if os.environ.get(variable):
            return Path(expand_home(os.environ[variable], variable)) / below
    try:
        return Path(expand_home("~", "HOME")) / ".cache" / "svdam"
    except InputError as error:
        raise InputError(
            "there is no home folder for the cache (HOME is not set); set SVDAM_CACHE to a folder"
        ) from error


def join(folder: str | os.PathLike, *names: str) -> str:
    """``folder/name/...``, for both kinds of path; names in web addresses are quoted."""
    if is_web_address(folder):
        names = tuple(urllib.parse.quote(name) for name in names)
    if is_remote(folder):
        return "/".join([str(folder).rstrip("/"), *names])
    return os.path.join(folder, *names)


def exists(path: str | os.PathLike) -> bool:
    """Whether there is a file or folder."""
    if not is_remote(path):
        return os.path.exists(path)
    with _errors_named(path):
        return _gfile(path).exists(str(path))


def is_folder(path: str | os.PathLike) -> bool:
    """Whether there is a folder (or, in an object store, anything below this name)."""
    if not is_remote(path):
        return os.path.isdir(path)
    with _errors_named(path):
        return _gfile(path).isdir(str(path))


def size_and_time(path: str | os.PathLike) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds.

    Raises:
        InputError: If there is no such file.
    """
    if not is_remote(path):
        try:
            found = os.stat(path)
        except OSError as error:
            raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
        return found.st_size, found.st_mtime_ns
    with _errors_named(path):
        found = _gfile(path).stat(str(path))
        return found.length, found.mtime_nsec


def open_for_reading(path: str | os.PathLike) -> IO[bytes]:
    """Opens a file for reading bytes; it can seek.

    Raises:
        InputError: If it cannot be opened.
    """
    if not is_remote(path):
        try:
            return open(path, "rb")
        except OSError as error:
            raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    with _errors_named(path):
        return _gfile(path).GFile(str(path), "rb")


def read_bytes(path: str | os.PathLike) -> bytes:
    """The whole content of a file.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with _errors_named(path), open_for_reading(path) as stream:
            return stream.read()
    except InputError:
        if not is_web_address(path):
            raise
        with tempfile.TemporaryFile() as whole:
            _download(str(path), whole)
            whole.seek(0)
            return whole.read()


def read_range(path: str | os.PathLike, offset: int, length: int) -> bytes:
    """Some bytes of a file; fewer if it ends before.

    Raises:
        InputError: If it cannot be read, or if a web server hands out whole files only.
    """
    try:
        with _errors_named(path), open_for_reading(path) as stream:
            stream.seek(offset)
            return stream.read(length)
    except InputError as error:
        if not is_web_address(path):
            raise
        raise InputError(
            f"{error}; reading parts of a file requires a server that supports HTTP range "
            "requests; if this one does not, copy the folder to this machine"
        ) from error


def list_names(folder: str | os.PathLike) -> list[str]:
    """Sorted names of what is directly in a folder; empty if there is no such folder."""
    if not is_remote(folder):
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    with _errors_named(folder):
        gfile = _gfile(folder)
        if not gfile.isdir(str(folder)):
            return []
        return sorted(name.rstrip("/") for name in gfile.listdir(str(folder)))


def walk(
    folder: str | os.PathLike, enters: Callable[[str], bool] = lambda path: True
) -> Iterator[str]:
    """Paths of all files below a folder, relative to it, with ``/``, sorted within each folder.

    Links to folders are followed, but no folder is visited twice.

    Args:
        folder: Where to start.
        enters: Whether to go into a folder, told by its path relative to the first one.

    Raises:
        InputError: If a folder cannot be read.
    """
    visits = _remote_visits if is_remote(folder) else _local_visits
    root = str(folder).rstrip("/")
    for place, folders, names in visits(str(folder)):
        below = str(place)[len(root) :].strip("/")
        above = f"{below}/" if below else ""
        folders[:] = sorted(name for name in folders if enters(above + name.rstrip("/")))
        yield from (above + name for name in sorted(names))


def _remote_visits(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    with _errors_named(folder):
        yield from _gfile(folder).walk(folder)


def _local_visits(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: {(error.strerror or 'cannot be read').lower()}")

    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        yield place, folders, names


@contextlib.contextmanager
def writing(
    path: str | os.PathLike, durable: bool = True, num_bytes: int = 0
) -> Iterator[IO[bytes]]:
    """Opens a file for writing bytes; it appears, whole, only if the block succeeds.

    Args:
        path: Where to.
        durable: Whether to wait until a local disk has it, as for results. Without, a file is
            whole unless the machine itself stops within seconds: for what has checksums and can be
            made again.
        num_bytes: How many will be written, if that is known. A local disk reserves them at once:
            one that is too full says so before the work, and ext4 need not find room for a new
            file before it may get its name.
    """
    try:
        if is_remote(path):
            with _uploading(str(path)) as stream:
                yield stream
        else:
            with atomic_path(path, sync=durable) as temporary, open(temporary, "wb") as stream:
                if num_bytes:
                    os.posix_fallocate(stream.fileno(), 0, num_bytes)
                yield stream
                stream.truncate()  # Where fewer were written; flushes, too.
    except OSError as error:
        if error.filename is None:  # As of a full disk.
            error.filename = str(path)
        raise


@contextlib.contextmanager
def _uploading(path: str) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryDirectory(prefix="svdam-") as folder:
        local = os.path.join(folder, "upload")
        with open(local, "wb") as stream:
            yield stream
        with _errors_named(path):
            gfile = _gfile(path)
            gfile.makedirs(path.rsplit("/", 1)[0])
            gfile.copy(local, path, overwrite=True)


@contextlib.contextmanager
def local_copy(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a local path with the content of ``path``: itself, if it is local already."""
    if not is_remote(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="svdam-") as folder:
        # The suffix stays: decoders look at it.
        local = Path(folder, "download" + Path(str(path)).suffix)
        with open(local, "wb") as target:
            try:
                with _errors_named(path), open_for_reading(path) as source:
                    shutil.copyfileobj(source, target, 1 << 20)
            except InputError:
                if not is_web_address(path):
                    raise
                target.seek(0)
                target.truncate()
                _download(str(path), target)
        yield local


def _download(address: str, target: IO[bytes]) -> None:
    """Fetches a whole file from a web server that knows no Range, which tensorflow-io asks for."""
    try:
        with urllib.request.urlopen(address, timeout=_WEB_TIMEOUT_SECS) as source:
            shutil.copyfileobj(source, target, 1 << 20)
            declared = source.headers.get("Content-Length")
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{address}: {one_line(error)}") from error
    if declared is not None and int(declared) != target.tell():
        raise InputError(f"{address}: ends after {target.tell()} of {declared} bytes")


def in_threads(function: Callable[[_Item], _Found], items: Iterable[_Item]) -> Iterator[_Found]:
    """``function`` of each item, in order, by several threads: for what waits for a network.

    A hundred thousand requests one after the other take an hour.
    """
    waiting: collections.deque[concurrent.futures.Future[_Found]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(function, item))
                if len(waiting) > 2 * _THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def rename(source: str, target: str) -> None:
    """Renames a file, replacing what is at ``target``."""
    if not is_remote(source):
        os.replace(source, target)
        return
    with _errors_named(target):
        _gfile(source).rename(source, target, overwrite=True)


def remove(path: str) -> None:
    """Removes a file, or a folder with all that it holds, if it is there."""
    if not is_remote(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return
    with _errors_named(path):
        gfile = _gfile(path)
        if gfile.isdir(path):
            gfile.rmtree(path)
        elif gfile.exists(path):
            gfile.remove(path)


def _gfile(path: str | os.PathLike) -> Any:
    """``tf.io.gfile``, with the file systems of tensorflow-io registered and working."""
    scheme = str(path).split("://", 1)[0]
    return _registered(scheme)


@functools.lru_cache(maxsize=16)
def _registered(scheme: str) -> Any:
    import tensorflow as tf

    if scheme in tf.io.gfile.get_registered_schemes():
        return tf.io.gfile
    load_tensorflow_io(f"{scheme}://")
    if scheme not in tf.io.gfile.get_registered_schemes():
        raise InputError(
            f"{scheme}://: no such kind of storage; known are "
            + ", ".join(sorted(name for name in tf.io.gfile.get_registered_schemes() if name))
        )
    return tf.io.gfile


@contextlib.contextmanager
def _errors_named(path: str | os.PathLike) -> Iterator[None]:
    """Turns TensorFlow's storage errors into one line that names the path."""
    if not is_remote(path):
        yield
        return
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise InputError(f"{path}: {one_line(error)}") from error
