"""HDF5 files from others, tried in a process of their own before this one opens them.

The HDF5 library is native code: one flipped bit in a file can make it crash, ask for memory without
bound, or read on for ever. So a child process with limits of memory and processor time first reads
the file from end to end. It also refuses what reaches out of the file: external and soft links, and
data sets whose values are kept in other files. What the child got through, the parent can read.

    python -m svdam.core.hdf5 MAX_BYTES < FILE      the child: prints its verdict as JSON
"""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import svdam
from svdam.core.validation import InputError, one_line

_MAX_OBJECTS = 100_000
_MAX_DEPTH = 32
_DEFLATE_LIMIT = 1032  # No stream of zlib's unpacks to more than so many times its size.
_SPARE_BYTES = 2 << 30  # Of the child's address space, beside the data sets.
_CPU_SECS, _CPU_SECS_PER_GIB = 5, 30  # Many times what a whole file takes.
_passed: dict[tuple[bytes, int], int] = {}


def check_hdf5(source: bytes | str | os.PathLike, place: str, max_bytes: int) -> int:
    """Refuses an HDF5 file that is damaged or hostile; a file that passed is not tried again.

    Args:
        source: The file's content, or its path.
        place: How messages name it.
        max_bytes: Limit for all data sets together, unpacked.

    Returns:
        How many values its data sets hold together.

    Raises:
        InputError: If it cannot be read whole, is too large, or reaches out of itself.
    """
    with _as_stream(source, place) as stream:
        key = hashlib.file_digest(stream, "sha256").digest(), max_bytes
        if key not in _passed:
            stream.seek(0)
            verdict = _verdict(stream, max_bytes)
            if "refused" in verdict:
                raise InputError(f"{place} {verdict['refused']}")
            _passed[key] = verdict["values"]
        return _passed[key]


def _as_stream(source: bytes | str | os.PathLike, place: str) -> Any:
    if not isinstance(source, bytes):
        try:
            return open(source, "rb")
        except OSError as error:
            raise InputError(f"{place} cannot be read ({error.strerror})") from error
    stream = tempfile.TemporaryFile()  # noqa: SIM115
    stream.write(source)
    stream.seek(0)
    return stream


def _verdict(stream: BinaryIO, max_bytes: int) -> dict[str, Any]:
    """What the child says, or how it ended."""
    root = str(Path(svdam.__file__).resolve().parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "OPENBLAS_NUM_THREADS": "1",  # Each thread would take address space.
    }
    child = subprocess.run(
        [sys.executable, "-P", "-m", "svdam.core.hdf5", str(max_bytes)],
        stdin=stream,
        capture_output=True,
        check=False,
        env=environment,
    )
    try:
        return json.loads(child.stdout)
    except ValueError:
        status = child.returncode
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return {"refused": f"is damaged: the process that tried to read it ended with {how}"}


def _serve(max_bytes: int) -> None:
    """The child's work."""
    import resource

    memory = _SPARE_BYTES + max_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_cpu_time(os.fstat(0).st_size)
    try:
        verdict: dict[str, Any] = {"values": _read_all(sys.stdin.buffer, max_bytes)}
    except _RefusedError as error:
        verdict = {"refused": str(error)}
    except MemoryError:
        verdict = {"refused": "is damaged, or too large for this machine's memory"}
    except Exception as error:  # Whatever h5py raises over a damaged file.
        verdict = {"refused": f"is damaged, or no HDF5 file ({one_line(error)})"}
    print(json.dumps(verdict))


def _limit_cpu_time(num_bytes: int) -> None:
    """Ends the process (SIGXCPU) when it takes longer than reading ``num_bytes`` can take."""
    import resource

    used_secs = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    secs = round(used_secs + _CPU_SECS + _CPU_SECS_PER_GIB * num_bytes / 2**30)
    resource.setrlimit(resource.RLIMIT_CPU, (secs, resource.getrlimit(resource.RLIMIT_CPU)[1]))


class _RefusedError(Exception):
    """The file holds what it must not."""


def _read_all(stream: BinaryIO, max_bytes: int) -> int:
    """Reads every attribute and data set; returns the number of values."""
    import h5py

    found: dict[int, h5py.Dataset] = {}
    with h5py.File(stream, "r") as file:
        _collect(file, found, depth=0)
        total = 0
        for dataset in found.values():
            total += _declared_bytes(dataset)
            if total > max_bytes:
                raise _RefusedError(
                    f"declares more than {max_bytes / 1e6:.0f} MB of values, which is too large"
                )
        _limit_cpu_time(total)
        for dataset in found.values():
            dataset[()]
        return sum(dataset.size or 0 for dataset in found.values())


def _collect(group: Any, found: dict[int, Any], depth: int) -> None:
    """Gathers the data sets below a group, by their address in the file: links may form loops."""
    import h5py

    if depth > _MAX_DEPTH:
        raise _RefusedError(f"has groups more than {_MAX_DEPTH} deep")
    _read_attributes(group)
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise _RefusedError(f"holds a link, {name[:80]!r}, which may lead out of it")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in found:
            continue
        found[address] = item
        if len(found) > _MAX_OBJECTS:
            raise _RefusedError(f"holds more than {_MAX_OBJECTS} objects")
        if isinstance(item, h5py.Group):
            _collect(item, found, depth + 1)
        elif isinstance(item, h5py.Dataset):
            _read_attributes(item)
    if depth == 0:
        for address in [a for a, item in found.items() if not isinstance(item, h5py.Dataset)]:
            del found[address]


def _read_attributes(item: Any) -> None:
    for name in item.attrs:
        item.attrs[name]


def _declared_bytes(dataset: Any) -> int:
    """Bytes that a data set's values take, if what is stored can hold so many."""
    if dataset.external or dataset.is_virtual:
        raise _RefusedError(f"keeps values of {dataset.name[:80]!r} in other files")
    declared = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > _DEFLATE_LIMIT * stored:
        raise _RefusedError(
            f"declares shape {dataset.shape} for {dataset.name[:80]!r}, but stores {stored} bytes "
            "of it"
        )
    return declared


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
