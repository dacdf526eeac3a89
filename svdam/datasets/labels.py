"""Label files: where somebody sings.

A label file, ``.lab``, has one segment per line, as Jamendo's do: ``start end label``, times in
seconds, label ``sing`` or ``nosing``. Fields are separated by blanks, tabs or commas. Accepted is
whatever has one meaning: segments in any order, touching or overlapping with the same label, beyond
the end of the recording, with gaps (nobody sings there, as in the original code), Windows line
ends, a byte-order mark, comments after ``#``, blank lines. In a song whose file has no segment,
nobody sings. Refused, naming file and line, is the rest: segments that contradict each other, that
end before they start, other words.

Frame k stands for the time k * hop / rate (k / 70 s with the paper's settings), and belongs to the
segment with start <= time < end, as in the original ``create_aligned_targets``.
"""

import io
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.files import decoded_text
from svdam.core.validation import InputError

LABELS = {"sing": True, "nosing": False}
LABEL_SUFFIXES = (".lab",)
"""Of files that `parse_labels` reads."""
FOREIGN_LABEL_SUFFIXES = (".jams", ".textgrid", ".svl", ".eaf", ".ann")
"""Of annotations that nothing here reads."""
TEXT_SUFFIXES = (".txt", ".csv", ".tsv")
"""Of files that hold labels or anything else: `looks_like_labels` tells."""
# Contradictions shorter than this are the rounding of times with three decimals.
_TOLERANCE_SECS = 0.0011


class Segment(NamedTuple):
    """One line of a label file: from ``start_secs`` to ``end_secs`` somebody sings, or not."""

    start_secs: float
    end_secs: float
    is_singing: bool


def parse_labels(content: bytes, name: str) -> list[Segment]:
    """Parses a label file.

    Args:
        content: The file's bytes.
        name: How messages name the file.

    Returns:
        The segments, ordered by start.

    Raises:
        InputError: Naming file and line, if a line does not parse or contradicts another one.
    """
    found: list[tuple[Segment, int]] = []
    # Universal line ends, and no others: a comment may hold what Unicode counts as one.
    lines = io.StringIO(_decode(content, name), newline=None)
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if text:
            found.append((_parse_line(text, f"{name}:{number}"), number))
    found.sort(key=lambda item: item[0][:2])
    _refuse_contradictions(found, name)
    return [segment for segment, _ in found]


def looks_like_labels(content: bytes) -> bool:
    """Whether a text holds times in seconds, in two columns, perhaps with more columns behind."""
    try:
        lines = _decode(content, "").splitlines()
    except InputError:
        return False
    rows = [re.split(r"\s*[,;]\s*|\s+", line.strip()) for line in lines if line.strip()]
    if rows and len(rows[0]) > 1 and not _is_time(rows[0][0]):
        del rows[0]  # The names of the columns.
    return bool(rows) and all(len(row) > 1 and all(map(_is_time, row[:2])) for row in rows)


def frame_labels(
    segments: Sequence[Segment], num_frames: int, front_end: FrontEnd = FRONT_END
) -> np.ndarray:
    """Labels frames: whether somebody sings at each frame's time.

    Args:
        segments: (start, end, is singing), in seconds. Where two overlap, the later one counts.
        num_frames: Frames of the recording.
        front_end: Front-end settings.

    Returns:
        (num_frames,) bool.
    """
    times_secs = np.arange(num_frames) / front_end.frames_per_second
    labels = np.zeros(num_frames, bool)
    for start_secs, end_secs, is_singing in segments:
        first, last = np.searchsorted(times_secs, (start_secs, end_secs))
        labels[first:last] = is_singing
    return labels


def shifted(segments: Sequence[Segment], secs: float) -> list[Segment]:
    """Segments at times that are ``secs`` later, also before 0."""
    return [Segment(start + secs, end + secs, sung) for start, end, sung in segments]


def _decode(content: bytes, name: str) -> str:
    try:
        text = decoded_text(content)
    except UnicodeDecodeError:
        # Fields are ASCII; a comment in an older encoding does no harm.
        text = content.decode("latin-1")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{name}:{number}: is not text, expected lines 'start end sing|nosing'")
    return text


def _parse_line(text: str, place: str) -> Segment:
    fields = re.split(r"\s*,\s*|\s+", text)
    if len(fields) != 3:
        raise InputError(
            f"{place}: found {len(fields)} fields in {text[:80]!r}, expected 'start end "
            "sing|nosing' (times with a decimal point)"
        )
    start_secs, end_secs = (_parse_time(field, place) for field in fields[:2])
    label = LABELS.get(fields[2].lower())
    if label is None:
        raise InputError(f"{place}: found label {fields[2][:40]!r}, expected 'sing' or 'nosing'")
    if end_secs < start_secs:
        raise InputError(f"{place}: ends at {end_secs:g} s, before its start at {start_secs:g} s")
    return Segment(start_secs, end_secs, label)


def _parse_time(text: str, place: str) -> float:
    if not _is_time(text):
        raise InputError(f"{place}: found time {text[:40]!r}, expected seconds, e.g. 12.34")
    time_secs = float(text)
    if not math.isfinite(time_secs) or time_secs < 0:
        raise InputError(
            f"{place}: found time {text[:40]!r}, expected a time of at least 0 seconds"
        )
    return time_secs


def _is_time(text: str) -> bool:
    # float() would also take 'nan', 'inf' and '1_0'.
    pattern = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _refuse_contradictions(found: list[tuple[Segment, int]], name: str) -> None:
    """Refuses overlaps of different labels; ``found`` is sorted by start."""
    latest: dict[bool, tuple[float, int]] = {}  # By label: the latest end so far, and its line.
    for segment, number in found:
        end_secs, other = latest.get(not segment.is_singing, (0.0, 0))
        overlap_secs = min(end_secs, segment.end_secs) - segment.start_secs
        if overlap_secs > _TOLERANCE_SECS:
            first, second = sorted((number, other))
            raise InputError(
                f"{name}:{second}: contradicts line {first}: from {segment.start_secs:g} s to "
                f"{min(end_secs, segment.end_secs):g} s one says sing, the other nosing"
            )
        if segment.end_secs > latest.get(segment.is_singing, (-1.0, 0))[0]:
            latest[segment.is_singing] = (segment.end_secs, number)
