"""Labels: which frames of a song hold what a classifier detects.

A *target* is one output of a classifier: a name, and the labels that are its positive ones. All
other labels, and time without any, are negative. Songs may belong to several targets at once.

Label files (`svdam.datasets.label_files`) hold segments in any order, touching or overlapping,
beyond the end of the recording, with gaps. A label that is a positive one with ``no`` before it
(``nosing``, ``no dog``) says that it is *not* heard: where it overlaps the positive one, the file
contradicts itself and is refused, naming both lines. Other labels may overlap, since dogs bark at
sirens. Upper case makes no difference.

The default target is `SING`: Jamendo's ``.lab`` files with ``sing`` and ``nosing``. There, any
other word is refused.

Frame k stands for the time k * hop / rate (k / 70 s with the paper's settings), and belongs to the
segment with start <= time < end, as in the original ``create_aligned_targets``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError
from svdam.datasets.label_files import LABEL_SUFFIXES, Event, place_in, read_events, unit_of

# Contradictions shorter than this are the rounding of times with three decimals.
_TOLERANCE_SECS = 0.0011


class Target(NamedTuple):
    """What one output of a classifier detects: its name, and the labels that are positive."""

    name: str
    words: tuple[str, ...]


SING = Target("sing", ("sing",))
"""The paper's, and the default."""


class Segment(NamedTuple):
    """From ``start_secs`` to ``end_secs`` the target is heard, or explicitly not."""

    start_secs: float
    end_secs: float
    is_positive: bool


def targets_of(positive_label: Sequence[str], labels: Sequence[str] = ()) -> tuple[Target, ...]:
    """The targets that settings name.

    Args:
        positive_label: Labels that are the positive ones of a single target.
        labels: Labels of which each is a target of its own, instead.
    """
    if labels:
        return tuple(Target(label, (label,)) for label in labels)
    return (Target(" or ".join(positive_label), tuple(positive_label)),)


def require_targets(positive_label: Sequence[str], labels: Sequence[str]) -> None:
    """Checks the settings that `targets_of` takes.

    Raises:
        InputError: If a list has a label twice, or none or both of them are given.
    """
    for name, given in (("positive_label", positive_label), ("labels", labels)):
        if len({label.casefold() for label in given}) < len(given):
            raise InputError(f"--{name}: found {','.join(given)}, in which a label is repeated")
    if not positive_label:
        raise InputError("--positive_label: is empty, expected the labels to detect, e.g. sing")
    if labels and tuple(positive_label) != SING.words:
        raise InputError("--labels: contradicts --positive_label; give one of them")


def parse_labels(content: bytes, name: str, target: Target = SING) -> list[Segment]:
    """Parses a label file for one target; see `parse_targets`."""
    return parse_targets(content, name, (target,))[0]


def parse_targets(content: bytes, name: str, targets: Sequence[Target]) -> list[list[Segment]]:
    """Parses a label file.

    Args:
        content: The file's bytes.
        name: How messages name the file; its suffix tells the form.
        targets: What is detected.

    Returns:
        The segments of each target, ordered by start.

    Raises:
        InputError: Naming file and line, if a line does not parse or contradicts another one.
    """
    only_sing = tuple(targets) == (SING,)
    events = read_events(content, name, "sing|nosing" if only_sing else "label")
    if only_sing and not name.lower().endswith(LABEL_SUFFIXES[1:]):
        _refuse_other_words(events, name)
    return [_segments(events, target, name) for target in targets]


def is_positive(label: str, target: Target) -> bool | None:
    """True for a label of the target, False for one that denies it, None for any other."""
    label = label.casefold()
    words = [word.casefold() for word in target.words]
    if label in words:
        return True
    return False if re.sub(r"^no[ _-]*", "", label, count=1) in words else None


def frame_labels(
    segments: Sequence[Segment], num_frames: int, front_end: FrontEnd = FRONT_END
) -> np.ndarray:
    """Labels frames: whether the target is heard at each frame's time.

    Args:
        segments: (start, end, is positive), in seconds. Where two overlap, the later one counts.
        num_frames: Frames of the recording.
        front_end: Front-end settings.

    Returns:
        (num_frames,) bool.
    """
    times_secs = np.arange(num_frames) / front_end.frames_per_second
    labels = np.zeros(num_frames, bool)
    for start_secs, end_secs, is_heard in segments:
        first, last = np.searchsorted(times_secs, (start_secs, end_secs))
        labels[first:last] = is_heard
    return labels


def shifted(segments: Sequence[Segment], secs: float) -> list[Segment]:
    """Segments at times that are ``secs`` later, also before 0."""
    return [Segment(start + secs, end + secs, heard) for start, end, heard in segments]


def in_words(label: str) -> str:
    """The name of a target in a sentence: ``sing`` is singing."""
    return "singing" if label == SING.name else label


def concept_in_words(label: str) -> str:
    """What a target stands for, as a noun: ``sing`` is the singing voice."""
    return "singing voice" if label == SING.name else label


def labels_input(label_names: Sequence[str]) -> dict[str, Any]:
    """What a run's configuration says of the labels of its records: nothing if they are `SING`."""
    return {} if tuple(label_names) == (SING.name,) else {"label_names": list(label_names)}


def run_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of the records that a run of this configuration has read."""
    return tuple(config.get("inputs", {}).get("label_names", (SING.name,)))


def _refuse_other_words(events: Sequence[Event], name: str) -> None:
    for event in events:
        if is_positive(event.label, SING) is None:
            raise InputError(
                f"{place_in(name, event.number)}: found label {event.label[:40]!r}, expected "
                "'sing' or 'nosing'; the label to detect can be named (--positive_label)"
            )


def _segments(events: Sequence[Event], target: Target, name: str) -> list[Segment]:
    found = [
        (Segment(event.start_secs, event.end_secs, heard), event.number)
        for event in events
        for heard in [is_positive(event.label, target)]
        if heard is not None
    ]
    found.sort(key=lambda item: item[0][:2])
    _refuse_contradictions(found, target, name)
    return [segment for segment, _ in found]


def _refuse_contradictions(found: Sequence[tuple[Segment, int]], target: Target, name: str) -> None:
    """Refuses overlaps of a target with its negation; ``found`` is sorted by start."""
    latest: dict[bool, tuple[float, int]] = {}  # By label: the latest end so far, and its line.
    for segment, number in found:
        end_secs, other = latest.get(not segment.is_positive, (0.0, 0))
        overlap_secs = min(end_secs, segment.end_secs) - segment.start_secs
        if overlap_secs > _TOLERANCE_SECS:
            first, second = sorted((number, other))
            raise InputError(
                f"{place_in(name, second)}: contradicts {unit_of(name)} {first}: from "
                f"{segment.start_secs:g} s to {min(end_secs, segment.end_secs):g} s one says "
                f"{target.name}, the other no{target.name}"
            )
        if segment.end_secs > latest.get(segment.is_positive, (-1.0, 0))[0]:
            latest[segment.is_positive] = (segment.end_secs, number)
