"""Who plays and sings what in the built-in corpus, and how loud.

Stereo sounds have shape (samples, 2).
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from svdam.corpus import composition, drums, effects, phonetics, sustained, synthesis, voice
from svdam.corpus.composition import Interval, Plan

SINGER_STYLES = (
    "folk", "pop", "ballad", "rock", "folk", "electronic", "jazz", "latin", "pop", "chamber",
)  # fmt: skip
"""Styles of songs with singing; common ones come up more than once."""

INSTRUMENTAL_STYLES = (
    "chamber", "jazz", "folk", "solo", "rock", "electronic", "ballad", "pop", "latin", "solo",
)  # fmt: skip

VOICE_KINDS = (
    "woman", "man", "woman", "tenor", "woman", "man", "alto", "man", "soprano", "woman", "bass",
)  # fmt: skip
"""Kinds of voice of songs with singing; untrained ones come up most."""

_LEADS = {
    "folk": ("harmonica", "violin", "flute", "slide guitar"),
    "pop": ("synth lead", "saxophone", "organ", "violin"),
    "rock": ("slide guitar", "organ", "saxophone", "synth lead"),
    "ballad": ("violin", "cello", "flute", "clarinet"),
    "electronic": ("synth lead", "theremin", "synth lead"),
    "jazz": ("trumpet", "saxophone", "trombone", "clarinet"),
    "latin": ("flute", "trumpet", "violin", "clarinet"),
    "chamber": ("violin", "cello", "flute", "clarinet", "trumpet"),
    "solo": ("trumpet", "violin", "cello", "flute", "saxophone", "theremin", "slide guitar"),
}
_LEAD_CENTRES = {"cello": 52, "trombone": 53, "clarinet": 64, "saxophone": 61, "organ": 64,
                 "harmonica": 70, "flute": 77, "violin": 74}  # fmt: skip


class Band:
    """Collects the players' sounds, each at a level in dB against the others."""

    def __init__(self, plan: Plan, rate: int, rng: np.random.Generator):
        self.plan, self.rate, self.rng = plan, rate, rng
        self.num_samples = round(plan.secs * rate)
        self.mix = np.zeros((self.num_samples, 2))

    def add(self, sound: np.ndarray, level_db: float, place: float | None = None) -> None:
        """Adds a mono or stereo sound, brought to unit power where it sounds, then to a level."""
        if sound.ndim == 1:
            sound = effects.pan(sound, self.rng.uniform(-0.6, 0.6) if place is None else place)
        power = np.mean(sound**2, axis=1)
        sounding = power > 1e-4 * power.max()
        if sounding.any() and power.max() > 0:
            level_db += self.rng.normal(0, 2.5)
            self.mix += sound * 10 ** (level_db / 20) / np.sqrt(2 * power[sounding].mean())

    def struck(self, family: str, notes: Sequence[synthesis.Note], level_db: float) -> None:
        """A plucked or struck instrument."""
        patch = synthesis.draw_struck(family, self.rng)
        sound = synthesis.play_struck(notes, patch, self.num_samples, self.rate, self.rng)
        if "guitar" in family and family != "bass guitar":
            u = self.rng.uniform
            body = (
                (u(95, 120), u(3, 7), 3),
                (u(190, 230), u(2, 6), 3),
                (u(2000, 5000), u(0, 6), 1),
            )
            sound = effects.equalise(sound, body, self.rate)
        self.add(sound, level_db)

    def line(
        self, name: str, phrases: Sequence[Interval], level_db: float, players: int = 1
    ) -> None:
        """A melody on a sustained instrument, or a section of them, in the given intervals."""
        rng = self.rng
        centre = _LEAD_CENTRES.get(name, 67) + rng.integers(-3, 4)
        pace = rng.uniform(1.0, 4.5)
        notes = [
            note
            for phrase in phrases
            for note in composition.draw_melody(
                self.plan, phrase, centre - 8, centre + 9, pace, rng
            )
        ]
        patch = sustained.SUSTAINED[name](rng)
        for _ in range(players):  # each with a place, and an unsteadiness, of their own
            sound = sustained.play_line(notes, patch, self.num_samples, self.rate, rng)
            self.add(sound, level_db)

    def bass(self, level_db: float, walking: bool = False) -> None:
        """A bass guitar, an upright bass or a synthesizer's bass."""
        notes = composition.bass_line(self.plan, walking, self.rng)
        if self.rng.random() < 0.7:
            self.struck("bass guitar", notes, level_db)
        else:
            patch = sustained.SUSTAINED["synth lead"](self.rng)
            sound = sustained.play_line(notes, patch, self.num_samples, self.rate, self.rng)
            self.add(sound, level_db, place=0.0)

    def drums(self, level_db: float, light: bool = False) -> None:
        """A drum kit."""
        kit = drums.drum_kit(self.rate, self.rng)
        hits = composition.drum_hits(self.plan, light, self.rng)
        self.add(drums.play_drums(hits, kit, self.num_samples, self.rate, self.rng), level_db)

    def pad(self, level_db: float, count: int = 3) -> None:
        """Held chords of strings or a synthesizer."""
        rng = self.rng
        notes = composition.held_chords(self.plan, int(rng.integers(50, 58)), count)
        attack = rng.uniform(0.05, 0.6)
        bright = rng.random()
        self.add(
            sustained.play_pad(notes, bright, attack, self.num_samples, self.rate, rng), level_db
        )

    def distorted(self, level_db: float) -> None:
        """Power chords of an overdriven guitar through its cabinet."""
        rng = self.rng
        patch = synthesis.draw_struck("electric guitar", rng)
        notes = [
            synthesis.Note(note.start, note.end, note.pitch + shift, note.level)
            for note in composition.bass_line(self.plan, False, rng)
            for shift in (12, 19, 24)
        ]
        sound = synthesis.play_struck(notes, patch, self.num_samples, self.rate, rng)
        sound = np.tanh(rng.uniform(2, 10) * sound)
        sound = effects.equalise(sound, ((100, 4, 1), (2500, 5, 1), (7000, -15, 0.7)), self.rate)
        self.add(sound, level_db)


def _folk(band: Band) -> None:
    rng, plan = band.rng, band.plan
    pattern = composition.strummed if rng.random() < 0.6 else composition.picked
    band.struck("guitar", pattern(plan, int(rng.integers(40, 46)), rng), 0)
    if rng.random() < 0.3:
        family = str(rng.choice(["banjo", "nylon guitar", "guitar"]))
        band.struck(family, composition.picked(plan, int(rng.integers(52, 60)), rng), -5)
    if rng.random() < 0.5:
        band.bass(-3)
    if rng.random() < 0.3:
        band.drums(-6, light=rng.random() < 0.6)


def _pop(band: Band) -> None:
    rng, plan = band.rng, band.plan
    band.drums(0)
    band.bass(-1)
    family = str(rng.choice(["piano", "electric guitar", "electric piano", "guitar"]))
    pattern = (composition.block_chords, composition.picked, composition.strummed)[rng.integers(3)]
    band.struck(family, pattern(plan, int(rng.integers(46, 56)), rng), -2)
    if rng.random() < 0.6:
        band.pad(-9)


def _rock(band: Band) -> None:
    band.drums(0)
    band.bass(-2)
    band.distorted(-1)
    if band.rng.random() < 0.5:
        notes = composition.picked(band.plan, 52, band.rng)
        band.struck("electric guitar", notes, -6)


def _ballad(band: Band) -> None:
    rng, plan = band.rng, band.plan
    family = str(rng.choice(["piano", "nylon guitar", "harp", "electric piano"]))
    band.struck(family, composition.picked(plan, int(rng.integers(43, 53)), rng), 0)
    if rng.random() < 0.6:
        band.pad(-6)
    if rng.random() < 0.6:
        band.bass(-3)
    if rng.random() < 0.4:
        band.drums(-5, light=True)


def _electronic(band: Band) -> None:
    rng, plan = band.rng, band.plan
    band.drums(0)
    patch = sustained.SUSTAINED["synth lead"](rng)
    notes = composition.bass_line(plan, False, rng)
    band.add(sustained.play_line(notes, patch, band.num_samples, band.rate, rng), -1, place=0.0)
    band.pad(-5)
    if rng.random() < 0.6:
        family = str(rng.choice(["bells", "marimba", "electric piano", "harp"]))
        band.struck(family, composition.picked(plan, int(rng.integers(60, 70)), rng), -5)


def _jazz(band: Band) -> None:
    rng, plan = band.rng, band.plan
    band.drums(-3, light=True)
    band.bass(0, walking=True)
    family = str(rng.choice(["piano", "vibraphone", "electric piano", "electric guitar"]))
    band.struck(family, composition.block_chords(plan, int(rng.integers(50, 58)), rng), -2)


def _latin(band: Band) -> None:
    rng, plan = band.rng, band.plan
    band.struck("nylon guitar", composition.strummed(plan, int(rng.integers(40, 46)), rng), 0)
    band.bass(-2)
    band.drums(-4, light=True)
    if rng.random() < 0.5:
        band.struck("marimba", composition.picked(plan, 60, rng), -5)


def _chamber(band: Band) -> None:
    rng, plan = band.rng, band.plan
    for _ in range(int(rng.integers(1, 3))):
        name = str(rng.choice(["violin", "cello", "clarinet", "flute"]))
        players = 3 if name in ("violin", "cello") and rng.random() < 0.6 else 1
        band.line(name, composition.draw_phrases(plan, 0.85, rng), -4, players)
    if rng.random() < 0.7:
        band.pad(-3, count=4)
    if rng.random() < 0.5:
        family = str(rng.choice(["harp", "piano", "bells", "celesta"]))
        band.struck(family, composition.picked(plan, int(rng.integers(48, 60)), rng), -3)


def _solo(band: Band) -> None:
    if band.rng.random() < 0.4:
        family = str(band.rng.choice(["piano", "guitar", "harp"]))
        band.struck(family, composition.picked(band.plan, 48, band.rng), -6)


_STYLES: dict[str, Callable[[Band], None]] = {
    "folk": _folk, "pop": _pop, "rock": _rock, "ballad": _ballad, "electronic": _electronic,
    "jazz": _jazz, "latin": _latin, "chamber": _chamber, "solo": _solo,
}  # fmt: skip


def play_band(
    plan: Plan, style: str, sung: Sequence[Interval], rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Plays a song without its voice, shape (samples, 2).

    Args:
        plan: Key, tempo, chords.
        style: One of `SINGER_STYLES` or `INSTRUMENTAL_STYLES`.
        sung: When a voice sings; instruments answer in the rests. Empty: an instrument leads.
        rate: Sample rate in Hz.
        rng: Source of randomness.
    """
    band = Band(plan, rate, rng)
    _STYLES[style](band)
    lead = str(rng.choice(_LEADS[style]))
    if not sung:
        melody = composition.draw_phrases(plan, 0.8, rng)
        if style == "solo" or rng.random() < 0.75:
            second = str(rng.choice(_LEADS[style]))
            band.line(lead, melody[::2], rng.uniform(-2, 6), 3 if rng.random() < 0.2 else 1)
            band.line(second, melody[1::2], rng.uniform(-2, 6))
        else:
            notes = [
                note
                for phrase in melody
                for note in composition.draw_melody(plan, phrase, 60, 79, 3.0, rng)
            ]
            family = str(rng.choice(["piano", "electric guitar", "vibraphone", "celesta"]))
            band.struck(family, notes, rng.uniform(-2, 4))
    else:
        rests = composition.rests_between(sung, plan.secs, 1.2)
        if rests and rng.random() < 0.7:
            band.line(lead, rests, rng.uniform(-4, 4))
        if rng.random() < 0.18:
            other = str(rng.choice(_LEADS[style]))
            band.line(other, composition.draw_phrases(plan, 0.7, rng), rng.uniform(-9, -4))
    if not band.mix.any():
        band.pad(0.0)
    return band.mix


def draw_room(rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the impulse response of a room, from a booth to a hall, in stereo."""
    return effects.room_response(rng.choice([0.25, 0.5, 1.0, 1.8]), rng.random(), rate, rng)


def sing_song(
    plan: Plan, kind: str, num_samples: int, rate: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[Interval]]:
    """One to three singers share the phrases of a song.

    Args:
        plan: Key, tempo, chords.
        kind: The first singer's kind of voice, of `svdam.corpus.phonetics.PITCH_RANGES`.
        num_samples: Length of the song.
        rate: Sample rate in Hz.
        rng: Source of randomness.

    Returns:
        The voices in their room, shape (samples, 2), and (start, end) in seconds of each phrase.
    """
    intervals = composition.draw_phrases(plan, rng.uniform(0.55, 0.8), rng)
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    kinds = [kind] + [str(rng.choice(VOICE_KINDS)) for _ in range(count - 1)]
    stereo, segments = np.zeros((num_samples, 2)), []
    for turn, singer_kind in enumerate(kinds):
        share = intervals[turn::count]
        if share:
            mono, sung = _one_singer(plan, share, singer_kind, num_samples, rate, rng)
            stereo += effects.pan(mono, rng.normal(0, 0.15))
            segments += sung
    stereo = effects.reverberate(stereo, draw_room(rate, rng), rng.choice([0.03, 0.1, 0.2, 0.35]))
    return stereo, sorted(segments)


def _one_singer(
    plan: Plan,
    intervals: Sequence[Interval],
    kind: str,
    num_samples: int,
    rate: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[Interval]]:
    """A singer's phrases, sometimes with a second voice beside: mono samples and segments."""
    singer = phonetics.draw_singer(kind, rng)
    lowest, highest = phonetics.PITCH_RANGES[kind]
    low = rng.uniform(lowest, max(highest - 13, lowest + 1))
    high = low + rng.uniform(9, 15)
    pace = rng.choice([1.3, 2.0, 2.8, 3.6, 4.5])
    melody = [
        [(note.start, note.end, note.pitch) for note in notes]
        for phrase in intervals
        if (notes := composition.draw_melody(plan, phrase, low, high, pace, rng))
    ]
    lyrics = phonetics.write_lyrics(melody, singer, rng)
    mono, segments = voice.sing(lyrics, singer, num_samples, rate, rng)
    if rng.random() < 0.15:  # a third or so above or below, or the same once more
        shift = float(rng.choice([-5, -3, 0, 0, 3, 4]))
        second = [[_transposed(syllable, shift) for syllable in phrase] for phrase in lyrics]
        other, _ = voice.sing(second, singer, num_samples, rate, rng)
        mono = mono + rng.uniform(0.3, 0.8) * other
    mono = effects.shelve(mono, rng.uniform(1200, 3000), rng.uniform(2, 12), rate)
    peaks = [(rng.uniform(200, 6000), rng.uniform(-4, 4), rng.uniform(0.7, 2)) for _ in range(2)]
    return effects.equalise(mono, peaks, rate), segments


def _transposed(syllable: phonetics.Syllable, shift: float) -> phonetics.Syllable:
    notes = tuple((time, pitch + shift) for time, pitch in syllable.notes)
    return dataclasses.replace(syllable, notes=notes)
