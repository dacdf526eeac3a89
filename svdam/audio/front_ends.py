"""Front ends by name, and from JSON files.

A classifier hears sound through its own front end. The named ones are those of networks that many
people have; any other is a JSON file with the fields of `svdam.core.front_end.FrontEnd`:

    {"base": "yamnet", "sample_rate": 11025, "num_mels": 37, "max_hz": 5000, "excerpt_frames": 50}

``base`` names the front end that missing fields are taken from. Without it every field is needed.

- ``ismir2015``: the paper's, of Schlueter & Grill (ISMIR 2015). The default.
- ``musicnn``: of the music taggers of Pons & Serra (2019), as librosa computes it.
- ``yamnet``, ``vggish``: of Google's networks for AudioSet, as TensorFlow's signal module computes
  them. They differ in the offset of the logarithm.
- ``librosa``: the defaults of ``librosa.feature.melspectrogram``, in decibels relative to 1.
"""

import dataclasses
import json
import os
from typing import Any

from svdam.core.files import atomic_path
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError, one_line, quoted_list

_YAMNET = FrontEnd(
    sample_rate=16000,
    window="periodic_hann",
    window_length=400,
    fft_length=512,
    hop_length=160,
    filterbank="htk",
    num_mels=64,
    min_hz=125,
    max_hz=7500,
    log_offset=0.001,
    magnitude_floor=0,
    excerpt_frames=96,
)

FRONT_ENDS = {
    "ismir2015": FrontEnd(),
    "musicnn": FrontEnd(
        sample_rate=16000,
        window="periodic_hann",
        window_length=512,
        hop_length=256,
        centered=True,
        power=2,
        filterbank="slaney",
        num_mels=96,
        min_hz=0,
        max_hz=8000,
        compression="log10",
        log_scale=10000,
        log_offset=1,
        magnitude_floor=0,
        excerpt_frames=187,
    ),
    "yamnet": _YAMNET,
    "vggish": dataclasses.replace(_YAMNET, log_offset=0.01),
    "librosa": FrontEnd(
        sample_rate=22050,
        window="periodic_hann",
        window_length=2048,
        hop_length=512,
        centered=True,
        power=2,
        filterbank="slaney",
        num_mels=128,
        min_hz=0,
        max_hz=11025,
        compression="decibels",
        magnitude_floor=1e-10,
        excerpt_frames=128,
    ),
}
"""The named front ends."""


def get_front_end(name: str | os.PathLike) -> FrontEnd:
    """A front end by its name, or from a JSON file.

    Args:
        name: A key of `FRONT_ENDS`, or the path of a file that ends in ``.json``.

    Returns:
        The front end. ``dataclasses.replace`` makes variants, with other excerpts for instance.

    Raises:
        InputError: If there is no such name or file, or the file has a field that is missing,
            unknown, or makes no sense.

    Example:
        >>> front_end = get_front_end("yamnet")
        >>> front_end.sample_rate, front_end.num_mels, front_end.frames_per_second
        (16000, 64, 100.0)
    """
    if str(name) in FRONT_ENDS:
        return FRONT_ENDS[str(name)]
    if not str(name).endswith(".json"):
        raise InputError(
            f"front end: found {str(name)!r}, expected {quoted_list(list(FRONT_ENDS))} or a .json "
            "file"
        )
    return _read_front_end(os.fspath(name))


def write_front_end(path: str | os.PathLike, front_end: FrontEnd) -> None:
    """Writes a front end, all fields of it, as a JSON file for `get_front_end`.

    Args:
        path: The file, which is replaced if it exists.
        front_end: What to write.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(dataclasses.asdict(front_end), indent=2) + "\n")


def front_end_from_fields(found: dict[str, Any]) -> FrontEnd:
    """A front end from the fields of its JSON file.

    Raises:
        InputError: If a field is missing, unknown, or makes no sense.
    """
    return FrontEnd(**_fields(found))


def front_end_name(front_end: FrontEnd) -> str:
    """The name of a front end, whatever the length of its excerpts; for messages.

    Returns:
        A key of `FRONT_ENDS`, or the facts that tell other front ends apart.
    """
    for name, known in FRONT_ENDS.items():
        if front_end.is_like(known):
            return name
    return (
        f"{front_end.num_mels} bands, {front_end.min_hz:g} to {front_end.max_hz:g} Hz, "
        f"{front_end.frames_per_second:g} frames per second, at {front_end.sample_rate} Hz"
    )


def _read_front_end(path: str) -> FrontEnd:
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({one_line(error)})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object with the fields of a front end")
    try:
        return front_end_from_fields(found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _fields(found: dict[str, Any]) -> dict[str, Any]:
    """All fields of a front end, those that are missing taken from its base."""
    known = [field.name for field in dataclasses.fields(FrontEnd)]
    unknown = found.keys() - {*known, "base"}
    if unknown:
        raise InputError(
            f"{min(unknown)}: is not a field of a front end; expected {quoted_list(known, 99)} or "
            "'base'"
        )
    if "base" not in found:
        missing = [name for name in known if name not in found]
        if missing:
            raise InputError(
                f"{missing[0]}: is missing; add {quoted_list(missing, 99)}, or take them from a "
                'named front end by "base"'
            )
        return found
    base = found["base"]
    if not isinstance(base, str) or base not in FRONT_ENDS:
        raise InputError(f"base: found {base!r}, expected one of {quoted_list(list(FRONT_ENDS))}")
    fields = {**dataclasses.asdict(FRONT_ENDS[base]), **found}
    del fields["base"]
    if "window_length" in found and "fft_length" not in found:
        fields["fft_length"] = 0  # That of the base belongs to another window.
    return fields
