"""Files that say when something is heard, in the forms that annotation programs write.

===============  ===================================================================================
``.lab``         ``start end label`` per line, separated by blanks, tabs or commas, as Jamendo's.
``.txt``         Audacity's labels: ``start end label``, separated by tabs. Lines that start with a
                 backslash, which hold frequencies, are left out.
``.csv .tsv``    A table whose first line names its columns, separated by commas, semicolons or
                 tabs: start, end or duration, and label, or synonyms of these (`COLUMNS`). Other
                 columns are left out. A ``.txt`` with such a line is read as a table, too.
``.jams``        All observations with a text, or with a dictionary that holds ``label``, as their
                 value. Requires the package jams.
===============  ===================================================================================

Times are in seconds; between tabs or semicolons, the decimal mark may be a comma. Windows line
ends, a byte-order mark and blank lines are accepted everywhere, comments after ``#`` in ``.lab``
files and above the names of columns. What a label means is decided in `svdam.datasets.labels`.
"""

import csv
import importlib.util
import io
import math
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from svdam.core.files import decoded_text
from svdam.core.validation import InputError, is_number, one_line

JAMS_SUFFIX = ".jams"
TEXT_SUFFIXES = (".txt", ".csv", ".tsv")
"""Of files that hold labels or anything else: `is_label_file` tells."""
LABEL_SUFFIXES = (".lab", *TEXT_SUFFIXES, JAMS_SUFFIX)
"""Of files that `read_events` reads."""
FOREIGN_LABEL_SUFFIXES = (".textgrid", ".svl", ".eaf", ".ann")
"""Of annotations that nothing here reads."""

COLUMNS = {
    "start": ("start", "onset", "begin", "start_time", "onset_time", "begin_time", "time"),
    "end": ("end", "offset", "stop", "end_time", "offset_time", "stop_time"),
    "duration": ("duration", "dur", "length"),
    "label": ("label", "event_label", "class", "tag", "event", "category", "annotation", "value"),
    "labels": ("labels", "event_labels", "classes", "tags", "positive_labels"),
}
"""Names of the columns of a table; a unit, as in ``Begin Time (s)`` or ``start_seconds``, and upper
case make no difference. Those of ``labels`` hold several, separated by commas."""

_TIME = r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?"
_AUDACITY_LINE = re.compile(rf"[ ]*{_TIME}[ ]*\t[ ]*{_TIME}[ ]*(\t|$)", re.ASCII | re.MULTILINE)


class Event(NamedTuple):
    """A line of a label file, or an observation of a JAMS file; ``number`` counts them from 1."""

    start_secs: float
    end_secs: float
    label: str
    number: int


def read_events(content: bytes, name: str, expected: str = "label") -> list[Event]:
    """Reads a label file.

    Args:
        content: The file's bytes.
        name: How messages name the file; its suffix tells the form. Other suffixes are ``.lab``.
        expected: What messages say the third field of a ``.lab`` line should be.

    Returns:
        What the file holds, in its order.

    Raises:
        InputError: Naming file and line, if something cannot be read; or if the package jams is
            missing.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix == JAMS_SUFFIX:
        return list(_jams_events(_decode(content, name), name))
    text = _decode(content, name, f"lines 'start end {expected}'")
    if suffix in TEXT_SUFFIXES:
        is_table = suffix != ".txt" or _header(text) is not None
        return list(_table_events(text, name) if is_table else _audacity_events(text, name))
    return list(_lab_events(text, name, expected))


def is_label_file(name: str, content: bytes) -> bool:
    """Whether a file holds labels in a form that `read_events` reads, by its name and first lines.

    A ``.txt`` does if it has one line of Audacity's or names columns, a table if it names columns.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in TEXT_SUFFIXES:
        return suffix in LABEL_SUFFIXES
    try:
        text = _decode(content, name)
    except InputError:
        return False
    is_audacity = suffix == ".txt" and _AUDACITY_LINE.search(text.replace("\r", "\n")) is not None
    return is_audacity or _header(text) is not None


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


def place_in(name: str, number: int) -> str:
    """How messages name a line of a label file, or an observation."""
    return f"{name}: observation {number}" if _is_jams(name) else f"{name}:{number}"


def unit_of(name: str) -> str:
    """What is counted in a label file: lines or observations."""
    return "observation" if _is_jams(name) else "line"


def require_jams(name: str) -> None:
    """Raises InputError if the package jams, which reads the file ``name``, is missing."""
    if importlib.util.find_spec("jams") is None:
        raise InputError(
            f"{name}: JAMS files are read by the package jams, which is not installed; install it "
            "with: pip install jams"
        )


def _is_jams(name: str) -> bool:
    return name.lower().endswith(JAMS_SUFFIX)


def _decode(content: bytes, name: str, expected: str = "text") -> str:
    try:
        text = decoded_text(content)
    except UnicodeDecodeError:
        # Fields are ASCII; a comment in an older encoding does no harm.
        text = content.decode("latin-1")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{name}:{number}: is not text, expected {expected}")
    return text


def _lines(text: str) -> io.StringIO:
    """Universal line ends, and no others: a comment may hold what Unicode counts as one."""
    return io.StringIO(text, newline=None)


def _lab_events(text: str, name: str, expected: str) -> Iterator[Event]:
    for number, line in enumerate(_lines(text), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 3:  # Between tabs, a label may have blanks.
            fields = re.split(r"\s*,\s*|\s+", line)
        if len(fields) != 3:
            raise InputError(
                f"{name}:{number}: found {len(fields)} fields in {line[:80]!r}, expected 'start "
                f"end {expected}' (times with a decimal point)"
            )
        start, end, label = fields
        yield _event(start, end, label, f"{name}:{number}", number)


def _audacity_events(text: str, name: str) -> Iterator[Event]:
    for number, line in enumerate(_lines(text), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        start, *rest = line.rstrip("\n").split("\t", 2)
        if not rest:
            raise InputError(
                f"{name}:{number}: found no tab in {line.strip()[:80]!r}, expected start, end and "
                "label, separated by tabs"
            )
        end, label = (*rest, "")[:2]
        yield _event(start.replace(",", "."), end.replace(",", "."), label, f"{name}:{number}",
                     number)  # fmt: skip


class _Header(NamedTuple):
    """The line of a table that names its columns: its number, and where each column is."""

    line: int
    separator: str
    num_columns: int
    columns: dict[str, int]


def _header(text: str) -> _Header | None:
    """The names of the columns of a table, which only comments may precede; None without them."""
    for number, line in enumerate(_lines(text), 1):
        names = line.lstrip("# \t").rstrip("\n")
        if not names:
            continue
        separator = next((one for one in "\t;," if one in names), ",")
        plain = [_plain_name(field) for field in names.split(separator)]
        columns = {
            role: plain.index(name)
            for role, synonyms in COLUMNS.items()
            for name in reversed(synonyms)
            if name in plain
        }
        if (
            {"start"} <= columns.keys()
            and columns.keys() & {"end", "duration"}
            and (columns.keys() & {"label", "labels"})
        ):
            return _Header(number, separator, len(plain), columns)
        if not line.startswith("#"):
            return None
    return None


def _plain_name(field: str) -> str:
    words = re.findall(r"[a-z]+", field.lower())
    units = ("s", "sec", "secs", "second", "seconds")
    return "_".join(words[:-1] if len(words) > 1 and words[-1] in units else words)


def _table_events(text: str, name: str) -> Iterator[Event]:
    header = _header(text)
    if header is None:
        raise InputError(
            f"{name}:1: does not name its columns, expected a first line with names of a start, an "
            "end or duration, and a label, e.g. start,end,label"
        )
    stream = _lines(text)
    for _ in range(header.line):
        next(stream)
    rows = csv.reader(stream, delimiter=header.separator, skipinitialspace=True, strict=True)
    try:
        for row in rows:
            number = header.line + rows.line_num
            if any(field.strip() for field in row):
                yield from _row_events(row, header, f"{name}:{number}", number)
    except csv.Error as error:
        number = header.line + rows.line_num
        raise InputError(f"{name}:{number}: cannot be read ({one_line(error)})") from error


def _row_events(row: list[str], header: _Header, place: str, number: int) -> Iterator[Event]:
    if len(row) != header.num_columns:
        raise InputError(
            f"{place}: found {len(row)} fields, expected {header.num_columns}, as in line "
            f"{header.line}"
        )
    fields = {role: row[column].strip() for role, column in header.columns.items()}
    if not any(fields.values()):
        return  # So do tables of DCASE name a file in which nothing happens.
    if header.separator != ",":
        fields |= {
            role: fields[role].replace(",", ".") for role in ("start", "end", "duration")
            if role in fields
        }  # fmt: skip
    end = fields.get("end")
    if end is None:
        start_secs = _time(fields["start"], place)
        end = repr(start_secs + _time(fields["duration"], place))
    labels = [fields["label"]] if "label" in fields else re.split(r"[,;|]", fields["labels"])
    for label in labels:
        yield _event(fields["start"], end, label, place, number)


def _jams_events(text: str, name: str) -> Iterator[Event]:
    require_jams(name)
    import jams

    try:
        found = jams.load(io.StringIO(text), validate=False, fmt="jams")
        observations = [one for annotation in found.annotations for one in annotation.data]
    except Exception as error:  # The package checks little, and raises what comes.
        raise InputError(f"{name}: is not a JAMS file ({one_line(error)})") from error
    for number, one in enumerate(observations, 1):
        label = one.value.get("label") if isinstance(one.value, dict) else one.value
        if not isinstance(label, str):
            continue  # A beat, a pitch.
        if not (is_number(one.time) and is_number(one.duration)):
            raise InputError(f"{place_in(name, number)}: has no time or no duration")
        start, end = repr(float(one.time)), repr(float(one.time + one.duration))
        yield _event(start, end, label, place_in(name, number), number)


def _event(start: str, end: str, label: str, place: str, number: int) -> Event:
    start_secs, end_secs = _time(start, place), _time(end, place)
    if end_secs < start_secs:
        raise InputError(f"{place}: ends at {end_secs:g} s, before its start at {start_secs:g} s")
    return Event(start_secs, end_secs, label.strip(), number)


def _time(text: str, place: str) -> float:
    if not _is_time(text.strip()):
        raise InputError(f"{place}: found time {text[:40]!r}, expected seconds, e.g. 12.34")
    time_secs = float(text)
    if not math.isfinite(time_secs) or time_secs < 0:
        raise InputError(
            f"{place}: found time {text[:40]!r}, expected a time of at least 0 seconds"
        )
    return time_secs


def _is_time(text: str) -> bool:
    # float() would also take 'nan', 'inf' and '1_0'.
    return "," not in text and re.fullmatch(_TIME, text, re.ASCII) is not None
