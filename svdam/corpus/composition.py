"""Melodies, chords and rhythms for the built-in corpus.

Everything here is notes: times in seconds, pitches in MIDI note numbers, drawn from a
`numpy.random.Generator`. Nothing makes sound.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from svdam.corpus.synthesis import Note

_MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
}
_PROGRESSIONS = (
    (0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 3), (5, 3, 0, 4), (0, 0, 3, 4), (1, 4, 0, 5),
    (0, 6, 3, 0), (0, 2, 3, 4), (0, 3, 0, 4), (0, 4, 1, 3), (0, 5, 1, 4), (3, 4, 0, 0),
)  # fmt: skip

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the players of a song agree on.

    Attributes:
        secs: Length of the song.
        beat_secs: Length of a beat.
        beats: Beats of a bar.
        first_beat: When the first bar starts, in seconds, at most 0.
        tonic: Pitch class of the key.
        scale: Pitch classes of the scale, from the tonic.
        degrees: Scale degree of the chord of each bar, 0 to 6, repeated.
        swing: How late every second eighth note comes, as a fraction of a beat.
        seventh: Whether chords have four notes.
    """

    secs: float
    beat_secs: float
    beats: int
    first_beat: float
    tonic: int
    scale: tuple[int, ...]
    degrees: tuple[int, ...]
    swing: float
    seventh: bool

    def bars(self) -> list[tuple[int, float, float]]:
        """(index, start, end) of each bar, in seconds."""
        length = self.beats * self.beat_secs
        count = int(np.ceil((self.secs - self.first_beat) / length))
        return [
            (index, self.first_beat + index * length, self.first_beat + (index + 1) * length)
            for index in range(count)
        ]

    def chord(self, secs: float) -> list[int]:
        """Pitch classes of the chord that sounds at a time, root first."""
        bar = int((secs - self.first_beat + 1e-6) / (self.beats * self.beat_secs))
        degree = self.degrees[bar % len(self.degrees)]
        steps = (0, 2, 4, 6) if self.seventh else (0, 2, 4)
        return [(self.tonic + self.scale[(degree + step) % 7]) % 12 for step in steps]

    def scale_pitches(self, low: float, high: float) -> np.ndarray:
        """The pitches of the scale from ``low`` to ``high``."""
        pitches = np.arange(int(np.ceil(low)), int(high) + 1)
        return pitches[np.isin((pitches - self.tonic) % 12, self.scale)]


def draw_plan(secs: float, style: str, rng: np.random.Generator) -> Plan:
    """Draws key, tempo, metre and chords."""
    slow = style in ("ballad", "chamber", "solo")
    beat_secs = 60 / rng.uniform(*((58, 100) if slow else (80, 150)))
    beats = 3 if style in ("folk", "ballad", "chamber") and rng.random() < 0.25 else 4
    jazz = style == "jazz"
    return Plan(
        secs=secs,
        beat_secs=beat_secs,
        beats=beats,
        first_beat=-beat_secs * beats * rng.random(),
        tonic=int(rng.integers(12)),
        scale=_MODES[str(rng.choice(list(_MODES), p=[0.45, 0.25, 0.1, 0.12, 0.08]))],
        degrees=_PROGRESSIONS[rng.integers(len(_PROGRESSIONS))],
        swing=rng.uniform(0.1, 0.17) if jazz or rng.random() < 0.15 else 0.0,
        seventh=jazz or rng.random() < 0.15,
    )


def draw_phrases(plan: Plan, busy: float, rng: np.random.Generator) -> list[Interval]:
    """Draws when a melody sounds: intervals in seconds that follow the beat, with rests.

    Args:
        plan: The song.
        busy: Share of the song, roughly, that the phrases fill.
        rng: Source of randomness.
    """
    beat = plan.beat_secs
    time = rng.uniform(0.3, 0.3 + 0.25 * plan.secs)
    intervals = []
    while time < plan.secs - 1.2:
        start = plan.first_beat + np.ceil((time - plan.first_beat) / beat * 2) * beat / 2
        length = max(rng.gamma(3.0, 1.2), 0.8)
        end = min(start + np.ceil(length / beat) * beat - 0.1 * beat, plan.secs - 0.15)
        if end - start < 0.7:
            break
        intervals.append((float(start), float(end)))
        rest = (end - start) * (1 - busy) / busy * rng.uniform(0.4, 1.6)
        time = end + (rng.uniform(0.4, 0.9) if rng.random() < 0.35 else max(rest, 0.6))
    return intervals


def rests_between(intervals: Sequence[Interval], secs: float, shortest: float) -> list[Interval]:
    """The rests of at least ``shortest`` seconds around intervals, a little inset."""
    edges = [0.0, *(edge for interval in intervals for edge in interval), secs]
    rests = zip(edges[0::2], edges[1::2], strict=True)
    return [(a + 0.1, b - 0.15) for a, b in rests if b - a >= shortest]


def draw_melody(
    plan: Plan, interval: Interval, low: float, high: float, pace: float, rng: np.random.Generator
) -> list[Note]:
    """Draws a melody over the chords that fills an interval.

    Args:
        plan: The song.
        interval: Start and end in seconds.
        low: Lowest pitch.
        high: Highest pitch.
        pace: Notes a second, roughly.
        rng: Source of randomness.
    """
    pitches = plan.scale_pitches(low, high)
    spot = int(len(pitches) * rng.uniform(0.3, 0.7))
    choices = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])
    weights = np.exp(-np.abs(np.log(choices * plan.beat_secs * pace)) * 1.6)
    time, notes = interval[0], []
    while time < interval[1] - 0.09:
        secs = float(rng.choice(choices, p=weights / weights.sum())) * plan.beat_secs
        left = interval[1] - time
        if left - secs < 0.2:
            secs = left
        spot += int(
            rng.choice([-3, -2, -1, 0, 1, 2, 3], p=[0.05, 0.12, 0.3, 0.12, 0.26, 0.1, 0.05])
        )
        spot = int(np.clip(spot, 0, len(pitches) - 1))
        on_beat = abs((time - plan.first_beat) / plan.beat_secs % 1) < 0.05
        if on_beat or secs > plan.beat_secs:  # weighty notes belong to the chord
            member = np.flatnonzero(np.isin(pitches % 12, plan.chord(time)))
            spot = int(member[np.argmin(np.abs(member - spot))]) if len(member) else spot
        notes.append(Note(time, time + secs, float(pitches[spot]), rng.uniform(0.5, 1.0)))
        time += secs
    return notes


def voicing(plan: Plan, secs: float, low: int, count: int) -> list[int]:
    """``count`` pitches of the chord at a time, from ``low`` upwards."""
    classes = plan.chord(secs)
    return [pitch for pitch in range(low, low + 48) if pitch % 12 in classes][:count]


def root_at(plan: Plan, secs: float, low: int) -> int:
    """The chord's root at or above the pitch ``low``."""
    return low + (plan.chord(secs)[0] - low) % 12


def _eighths(plan: Plan) -> list[tuple[int, float]]:
    """(eighth within its bar, seconds) of all eighth notes, swung."""
    half = plan.beat_secs / 2
    return [
        (step, start + step * half + (plan.swing * plan.beat_secs if step % 2 else 0.0))
        for _, start, _ in plan.bars()
        for step in range(2 * plan.beats)
    ]


def strummed(plan: Plan, low: int, rng: np.random.Generator) -> list[Note]:
    """A strummed guitar: down and up strokes across the strings, some muted."""
    pattern = rng.random(2 * plan.beats) < np.where(np.arange(2 * plan.beats) % 2, 0.6, 0.85)
    pattern[0] = True
    strokes = [(step, secs) for step, secs in _eighths(plan) if pattern[step]]
    spread = rng.uniform(0.006, 0.022)
    notes = []
    for index, (step, secs) in enumerate(strokes):
        end = strokes[index + 1][1] if index + 1 < len(strokes) else secs + plan.beat_secs
        muted = rng.random() < 0.1
        strings = voicing(plan, secs + 0.01, low, 6)
        up = step % 2 == 1
        order = strings[::-1][:4] if up else strings
        accent = (0.55 if up else 0.8) * rng.uniform(0.75, 1.15)
        for place, pitch in enumerate(order):
            start = secs + place * spread + rng.normal(0, 0.003)
            notes.append(
                Note(start, start + 0.06 if muted else max(end, start + 0.1), pitch, accent)
            )
    return notes


def picked(plan: Plan, low: int, rng: np.random.Generator) -> list[Note]:
    """Broken chords in eighths or sixteenths, as picked on a guitar, harp or piano."""
    count = int(rng.integers(4, 7))
    per_beat = int(rng.choice([2, 2, 3, 4])) if plan.beat_secs > 0.5 else 2
    order = rng.integers(0, count, plan.beats * per_beat)
    order[0] = 0
    notes = []
    for _, start, _ in plan.bars():
        for step, place in enumerate(order):
            secs = start + step * plan.beat_secs / per_beat + rng.normal(0, 0.004)
            pitch = voicing(plan, start + 0.01, low, count)[place]
            notes.append(Note(secs, secs + 1.5 * plan.beat_secs, pitch, rng.uniform(0.5, 0.9)))
    return notes


def block_chords(plan: Plan, low: int, rng: np.random.Generator) -> list[Note]:
    """Chords struck together in a rhythm that repeats every bar."""
    pattern = rng.random(2 * plan.beats) < rng.uniform(0.2, 0.5)
    pattern[0] = True
    hits = [secs for step, secs in _eighths(plan) if pattern[step]]
    length = plan.beat_secs * rng.uniform(0.4, 1.5)
    return [
        Note(secs + rng.normal(0, 0.004), secs + length, pitch, rng.uniform(0.5, 0.9))
        for secs in hits
        for pitch in voicing(plan, secs + 0.01, low, 4)
    ]


def held_chords(plan: Plan, low: int, count: int) -> list[Note]:
    """One chord a bar, held."""
    return [
        Note(max(start, 0.0), end, pitch, 0.7)
        for _, start, end in plan.bars()
        if end > 0.1
        for pitch in voicing(plan, start + 0.01, low, count)
    ]


def bass_line(plan: Plan, walking: bool, rng: np.random.Generator) -> list[Note]:
    """A bass: roots and fifths in a rhythm, or a walk in quarter notes."""
    low = int(rng.integers(28, 34))
    if walking:
        steps = [secs for step, secs in _eighths(plan) if step % 2 == 0]
        notes = []
        for secs in steps:
            pitches = plan.scale_pitches(low, low + 16)
            near = root_at(plan, secs + 0.01, low) + int(rng.choice([0, 0, 4, 7, 12]))
            pitch = float(pitches[np.argmin(np.abs(pitches - near))])
            notes.append(Note(secs, secs + 0.9 * plan.beat_secs, pitch, rng.uniform(0.7, 0.9)))
        return notes
    pattern = rng.random(2 * plan.beats) < rng.uniform(0.25, 0.9)
    pattern[0] = True
    hits = [(step, secs) for step, secs in _eighths(plan) if pattern[step]]
    notes = []
    for index, (step, secs) in enumerate(hits):
        end = hits[index + 1][1] if index + 1 < len(hits) else secs + plan.beat_secs
        pitch = root_at(plan, secs + 0.01, low)
        pitch += 7 if step and rng.random() < 0.2 else 12 if rng.random() < 0.06 else 0
        notes.append(Note(secs, max(end - 0.02, secs + 0.08), float(pitch), rng.uniform(0.7, 1.0)))
    return notes


_GROOVES = {
    # steps of sixteenths: kick, snare, hat
    "rock": ("x.....x.x.......", "....x.......x...", "x.x.x.x.x.x.x.x."),
    "pop": ("x.......x.x.....", "....x.......x..x", "x.x.x.x.x.x.x.x."),
    "disco": ("x...x...x...x...", "....x.......x...", "..x...x...x...x."),
    "half": ("x.....x.........", "........x.......", "x...x...x...x..."),
    "funk": ("x..x..x...x..x..", "....x..x.x..x...", "xxxxxxxxxxxxxxxx"),
    "train": ("x...x...x...x...", "x.xxx.xxx.xxx.xx", "..x...x...x...x."),
    "bossa": ("x..xx..xx..xx..x", "x..x..x...x..x..", "x.x.x.x.x.x.x.x."),
}


def drum_hits(plan: Plan, light: bool, rng: np.random.Generator) -> list[tuple[float, str, float]]:
    """(seconds, drum, level) of a groove with fills and, now and then, a pause."""
    kick, snare, hat = _GROOVES[str(rng.choice(list(_GROOVES)))]
    hat_name = str(rng.choice(["hat", "hat", "ride", "shaker"]))
    snare_name = "rim" if light else str(rng.choice(["snare", "snare", "clap"]))
    sixteenth = plan.beat_secs / 4
    hits = []
    for index, start, _ in plan.bars():
        fill = index % 4 == 3 and rng.random() < 0.6
        if index % 8 == 0 and not light and rng.random() < 0.6:
            hits.append((start, "crash", 0.5))
        for step in range(4 * plan.beats):
            secs = start + step * sixteenth + rng.normal(0, 0.003)
            secs += plan.swing * plan.beat_secs if step % 4 == 2 else 0.0
            if fill and step >= 4 * plan.beats - 4:
                hits.append((secs, str(rng.choice(["tom", "snare"])), rng.uniform(0.4, 0.9)))
                continue
            if kick[step] == "x":
                hits.append((secs, "kick", rng.uniform(0.8, 1.0)))
            if snare[step] == "x":
                hits.append((secs, snare_name, rng.uniform(0.6, 0.9) if step % 8 == 4 else 0.35))
            if hat[step] == "x":
                late_open = step % 8 == 6 and hat_name == "hat" and rng.random() < 0.2
                level = (0.4 if step % 4 == 0 else 0.28) * rng.uniform(0.7, 1.2)
                hits.append((secs, "open hat" if late_open else hat_name, level))
    return [hit for hit in hits if 0 <= hit[0] < plan.secs]
