"""MP3 files that do not say how long they are, or say it of their first part only.

Most encoders put a first frame ahead of the sound that counts the others (``Xing`` or ``Info``).
Without it libsndfile guesses the length from the size of the first frames, and reads no further
than that: of a file with a variable bit rate it gives a part, or seems to miss one. Here the frames
are counted, from header to header, and such a file is read behind a frame that holds the count.
(Of a file with a count libsndfile leaves out the first 529 samples, the delay of its decoder.)
Of files that were joined it reads what the first one's count says; here each part is read.

Source: ISO/IEC 11172-3 and 13818-3 (frame headers, Layer III), and LAME's description of the tag.
"""

import itertools
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from svdam.audio.stretches import open_stretch

_MPEG_1 = 3
_BITRATES_KBPS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1.
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5.
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYER_3 = 1
_TAG_BITRATE = 9  # Index of the bit rate of the frame that counts: large enough for the tag.
_IN_ROW = 3  # Headers that must follow each other before they are taken for frames.
_FEWEST_FRAMES = 10  # Of a part beside others; encoders' counts may be off by a few.
_GUESS_TOLERANCE = 0.01  # A guess may count tags as sound.


class _Frame(NamedTuple):
    """What a frame's header says: bytes of the frame, samples, what no frame of a file changes."""

    length: int
    samples: int
    kind: tuple[int, int, bool]


class _Part(NamedTuple):
    """A stretch of a file whose frames are of one kind.

    Attributes:
        start: Where the first frame starts.
        end: Where the last one ends.
        header: First bytes of the first frame.
        num_frames: How many there are; 0 if they are not counted because the file does it.
        num_samples: Of each channel, in all frames.
    """

    start: int
    end: int
    header: bytes
    num_frames: int
    num_samples: int


def counted_samples(path: Path) -> int | None:
    """Samples of each channel of an MP3 file that does not declare them; None for other files."""
    parts = _parts(path)
    counted = sum(part.num_samples for part in parts)
    return counted if parts and all(part.num_frames for part in parts) else None


def streams(path: Path, guess: int) -> Iterator[BinaryIO]:
    """Yields an MP3 file, in its parts, with counts of their frames.

    Nothing is yielded if libsndfile reads the file itself to its end.

    Args:
        path: The file.
        guess: Samples that libsndfile takes it to have.
    """
    parts = _parts(path)
    if len(parts) == 1:
        counted = parts[0].num_samples
        is_right = counted <= guess <= counted * (1 + _GUESS_TOLERANCE)
        if not parts[0].num_frames or is_right:
            return
    for part in parts:
        header = _counting_frame(part) if part.num_frames else b""
        with open_stretch(path, part.start, part.end, header) as stream:
            yield stream


def _parts(path: Path) -> list[_Part]:
    """The parts of a file, stepping over rubbish; those of a few frames only if there is no other.

    Several there are where files were joined: behind a count there are more frames than it says, or
    another kind of frames follows.
    """
    parts: list[_Part] = []
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        place = 0
        while place < len(content) and (part := _next_part(content, place)) is not None:
            parts.append(part)
            place = part.end
    long = [part for part in parts if not 0 < part.num_frames < _FEWEST_FRAMES]
    return long or parts[:1]


def _next_part(content: mmap.mmap, behind: int) -> _Part | None:
    start, header, kind, end, num_frames, num_samples = 0, b"", None, 0, 0, 0
    for place, frame in _frames(content, behind):
        counts = _counted_bytes(content, place)
        if not num_frames:
            start, header, kind = place, content[place : place + 4], frame.kind
            if counts is not None:
                return _Part(start, _end_of_counted(content, place, counts), header, 0, 0)
        elif counts is not None or frame.kind != kind:
            break
        num_frames += 1
        num_samples += frame.samples
        end = place + frame.length
    return _Part(start, end, header, num_frames, num_samples) if num_frames else None


def _frames(content: mmap.mmap, place: int) -> Iterator[tuple[int, _Frame]]:
    """Whole frames behind ``place``, and where they start."""
    place, kind = _after_tags(content, place), None  # The kind of the row of frames here.
    while 0 <= place < len(content):
        frame = _parse(content[place : place + 4])
        if frame and (frame.kind == kind or _is_row(content, place)):
            if place + frame.length > len(content):
                return
            yield place, frame
            kind = frame.kind
            place += frame.length
        else:
            kind = None
            place = content.find(b"\xff", place + 1)


def _is_row(content: mmap.mmap, place: int) -> bool:
    """Whether frames of one kind follow each other from ``place`` on, or to the end."""
    kind = None
    for _ in range(_IN_ROW):
        if place >= len(content):
            break
        frame = _parse(content[place : place + 4])
        if frame is None or kind not in (None, frame.kind):
            return False
        kind = frame.kind
        place += frame.length
    return True


def _after_tags(content: mmap.mmap, place: int) -> int:
    """Where the ID3v2 tags that start at ``place`` end."""
    while content[place : place + 3] == b"ID3" and len(content) >= place + 10:
        flags, *septets = content[place + 5 : place + 10]
        size = 0
        for septet in septets:
            size = size << 7 | septet & 0x7F
        place += 10 + size + (10 if flags & 0x10 else 0)  # A footer.
    return place


def _parse(header: bytes) -> _Frame | None:
    """Reads a frame header, if it is one of Layer III with a stated bit rate."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version not in _RATES_HZ or layer != _LAYER_3 or bitrate in (0, 15) or rate == 3:
        return None
    samples = 1152 if version == _MPEG_1 else 576
    bits = 1000 * _BITRATES_KBPS[version == _MPEG_1][bitrate - 1] * samples
    length = bits // 8 // _RATES_HZ[version][rate] + (header[2] >> 1 & 1)
    return _Frame(length, samples, _kind(header))


def _kind(header: bytes) -> tuple[int, int, bool]:
    """Version, rate, and whether there is one channel: what a decoder does not expect to change."""
    return header[1] & 0xFE, header[2] & 0x0C, header[3] >> 6 == 3


def _tag_offset(header: bytes) -> int:
    """Where a first frame holds its tag: behind header and side information."""
    is_mono = header[3] >> 6 == 3
    if header[1] >> 3 & 3 == _MPEG_1:
        return 4 + (17 if is_mono else 32)
    return 4 + (9 if is_mono else 17)


def _counted_bytes(content: mmap.mmap, place: int) -> int | None:
    """The bytes that a frame counts from its start on, 0 if only frames; None if it counts none."""
    tag = place + _tag_offset(content[place : place + 4])
    name, flags = content[tag : tag + 4], content[tag + 4 : tag + 8]
    if name not in (b"Xing", b"Info") or len(flags) < 4 or not flags[3] & 1:
        return None
    return int.from_bytes(content[tag + 12 : tag + 16], "big") if flags[3] & 2 else 0


def _end_of_counted(content: mmap.mmap, place: int, num_bytes: int) -> int:
    """Where the frames end that the frame at ``place`` counts."""
    if num_bytes:
        return min(place + num_bytes, len(content))
    tag = place + _tag_offset(content[place : place + 4])
    num_frames = int.from_bytes(content[tag + 8 : tag + 12], "big")
    end = len(content)
    for start, frame in itertools.islice(_frames(content, place), num_frames + 1):
        end = start + frame.length
    return end


def _counting_frame(part: _Part) -> bytes:
    """A silent frame that says how many follow."""
    first = part.header
    header = bytes([0xFF, first[1] | 1, _TAG_BITRATE << 4 | first[2] & 0x0C, first[3]])
    made = _parse(header)
    assert made is not None  # Of the same version, layer and rate as a frame that was parsed.
    frame = bytearray(header.ljust(made.length, b"\0"))
    struct.pack_into(">4sII", frame, _tag_offset(header), b"Info", 1, part.num_frames)
    return bytes(frame)
