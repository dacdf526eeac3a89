"""MP3 files that do not say how long they are.

Most encoders put a first frame ahead of the sound that counts the others (``Xing`` or ``Info``).
Without it libsndfile guesses the length from the size of the first frames, and reads no further
than that: of a file with a variable bit rate it gives a part, or seems to miss one. Here the frames
are counted, from header to header, and such a file is read through a copy that holds the count.
(Of a file with a count libsndfile leaves out the first 529 samples, the delay of its decoder.)

Source: ISO/IEC 11172-3 and 13818-3 (frame headers, Layer III), and LAME's description of the tag.
"""

import contextlib
import mmap
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MPEG_1 = 3
_BITRATES_KBPS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1.
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5.
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYER_3 = 1
_TAG_BITRATE = 9  # Index of the bit rate of the frame that counts: large enough for the tag.
_IN_ROW = 3  # Headers that must follow each other before they are taken for frames.
_GUESS_TOLERANCE = 0.01  # A guess may count tags as sound.


class _Frame(NamedTuple):
    """What a frame's header says: bytes of the frame, samples, what no frame of a file changes."""

    length: int
    samples: int
    kind: tuple[int, int]


class _Stream(NamedTuple):
    """The frames of a file.

    Attributes:
        start: Where the first one starts.
        header: Its first bytes.
        num_frames: How many there are; 0 if they are not counted because the file does it.
        num_samples: Of each channel, in all frames.
    """

    start: int
    header: bytes
    num_frames: int
    num_samples: int


def counted_samples(path: Path) -> int | None:
    """Samples of each channel of an MP3 file that does not declare them; None for other files."""
    stream = _scan(path)
    return stream.num_samples if stream and stream.num_frames else None


@contextlib.contextmanager
def declaring_its_length(path: Path, guess: int) -> Iterator[Path]:
    """Yields an MP3 file that libsndfile reads to its end: ``path``, or a temporary copy.

    Args:
        path: The file.
        guess: Samples that libsndfile takes it to have.
    """
    stream = _scan(path)
    counted = stream.num_samples if stream else 0
    is_right = counted <= guess <= counted * (1 + _GUESS_TOLERANCE)
    if stream is None or not stream.num_frames or is_right:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="svdam-", suffix=".mp3") as copy:
        copy.write(_counting_frame(stream))
        with open(path, "rb") as source:
            source.seek(stream.start)
            while block := source.read(1 << 20):
                copy.write(block)
        copy.flush()
        yield Path(copy.name)


def _scan(path: Path) -> _Stream | None:
    """Counts the frames of a file, stepping over rubbish between them; None if there are none."""
    start, header, num_frames, num_samples = 0, b"", 0, 0
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        for place, frame in _frames(content):
            if not num_frames:
                start, header = place, content[place : place + 4]
                if _holds_count(content, place):
                    return _Stream(start, header, 0, 0)
            num_frames += 1
            num_samples += frame.samples
    return _Stream(start, header, num_frames, num_samples) if num_frames else None


def _frames(content: mmap.mmap) -> Iterator[tuple[int, _Frame]]:
    """Whole frames and where they start."""
    place, kind, in_row = _after_tags(content), None, False
    while 0 <= place < len(content):
        frame = _parse(content[place : place + 4])
        if frame and kind in (None, frame.kind) and (in_row or _is_row(content, place)):
            if place + frame.length > len(content):
                return
            yield place, frame
            kind, in_row = frame.kind, True
            place += frame.length
        else:
            in_row = False
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


def _after_tags(content: mmap.mmap) -> int:
    """Where the ID3v2 tags at the start of a file end."""
    place = 0
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
    return _Frame(length, samples, (header[1] & 0xFE, header[2] & 0x0C))


def _tag_offset(header: bytes) -> int:
    """Where a first frame holds its tag: behind header and side information."""
    is_mono = header[3] >> 6 == 3
    if header[1] >> 3 & 3 == _MPEG_1:
        return 4 + (17 if is_mono else 32)
    return 4 + (9 if is_mono else 17)


def _holds_count(content: mmap.mmap, place: int) -> bool:
    tag = place + _tag_offset(content[place : place + 4])
    name, flags = content[tag : tag + 4], content[tag + 4 : tag + 8]
    return name in (b"Xing", b"Info") and len(flags) == 4 and flags[3] & 1 == 1


def _counting_frame(stream: _Stream) -> bytes:
    """A silent frame that says how many follow."""
    first = stream.header
    header = bytes([0xFF, first[1] | 1, _TAG_BITRATE << 4 | first[2] & 0x0C, first[3]])
    made = _parse(header)
    assert made is not None  # Of the same version, layer and rate as a frame that was parsed.
    frame = bytearray(header.ljust(made.length, b"\0"))
    struct.pack_into(">4sII", frame, _tag_offset(header), b"Info", 1, stream.num_frames)
    return bytes(frame)
