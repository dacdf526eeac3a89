"""Sounds of a singing voice: vowels and consonants, singers, and syllables for melodies.

Conventions: times in seconds, pitches in MIDI note numbers (69 is 440 Hz, fractions allowed),
frequencies in Hz. Vowels are named as in ARPABET's spirit: "I" as in bit, "E" bet, "ae" bat, "O"
bought, "U" book, "V" but, "R" bird.

Sources:
    Formants of men and women: means of Hillenbrand et al., "Acoustic characteristics of American
    English vowels" (1995). Formants of basses, tenors, altos and sopranos: the table that Csound's
    manual prints (appendix "Formant values").
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

# fmt: off
SPEECH_FORMANTS: dict[str, dict[str, tuple[float, ...]]] = {
    "man": {
        "i": (342, 2322, 3000), "I": (427, 2034, 2684), "e": (476, 2089, 2691),
        "E": (580, 1799, 2605), "ae": (588, 1952, 2601), "a": (768, 1333, 2522),
        "O": (652, 997, 2538), "o": (497, 910, 2459), "U": (469, 1122, 2434),
        "u": (378, 997, 2343), "V": (623, 1200, 2550), "R": (474, 1379, 1710),
    },
    "woman": {
        "i": (437, 2761, 3372), "I": (483, 2365, 3053), "e": (536, 2530, 3047),
        "E": (731, 2058, 2979), "ae": (669, 2349, 2972), "a": (936, 1551, 2815),
        "O": (781, 1136, 2824), "o": (555, 1035, 2828), "U": (519, 1225, 2827),
        "u": (459, 1105, 2735), "V": (753, 1426, 2933), "R": (523, 1588, 1929),
    },
}
"""F1, F2, F3 in Hz of spoken vowels."""

SUNG_FORMANTS: dict[str, dict[str, tuple[float, ...]]] = {
    "bass": {
        "a": (600, 1040, 2250, 2450, 2750), "e": (400, 1620, 2400, 2800, 3100),
        "i": (250, 1750, 2600, 3050, 3340), "o": (400, 750, 2400, 2600, 2900),
        "u": (350, 600, 2400, 2675, 2950),
    },
    "tenor": {
        "a": (650, 1080, 2650, 2900, 3250), "e": (400, 1700, 2600, 3200, 3580),
        "i": (290, 1870, 2800, 3250, 3540), "o": (400, 800, 2600, 2800, 3000),
        "u": (350, 600, 2700, 2900, 3300),
    },
    "alto": {
        "a": (800, 1150, 2800, 3500, 4950), "e": (400, 1600, 2700, 3300, 4950),
        "i": (350, 1700, 2700, 3700, 4950), "o": (450, 800, 2830, 3500, 4950),
        "u": (325, 700, 2530, 3500, 4950),
    },
    "soprano": {
        "a": (800, 1150, 2900, 3900, 4950), "e": (350, 2000, 2800, 3600, 4950),
        "i": (270, 2140, 2950, 3900, 4950), "o": (450, 800, 2830, 3800, 4950),
        "u": (325, 700, 2700, 3800, 4950),
    },
}
"""F1 to F5 in Hz as trained voices sing; F3 to F5 lie close together: the singer's formant."""

PITCH_RANGES = {
    "bass": (40, 60), "man": (44, 67), "tenor": (48, 69),
    "alto": (55, 74), "woman": (54, 76), "soprano": (60, 81),
}
"""Lowest and highest pitch of each kind of voice."""

_ONSETS = (
    "", "", "", "m", "n", "l", "r", "w", "y", "h", "s", "sh", "f", "th", "t", "k", "p", "ch",
    "d", "g", "b", "b", "d", "l", "w", "n", "s t", "s p", "t r", "f l", "k r", "b l", "v",
)
_CODAS = ("", "", "", "", "", "", "n", "m", "l", "r", "s", "z", "t", "k", "d", "n d", "s t", "v")
_DIPHTHONGS = (("a", "I"), ("e", "I"), ("o", "U"), ("a", "U"), ("O", "I"), ("V", "I"), ("E", "I"))
# fmt: on
_UPPER_SPEECH_FORMANTS = {"man": (3450.0, 4400.0), "woman": (4050.0, 5050.0)}


@dataclasses.dataclass(frozen=True)
class Consonant:
    """What the throat and mouth do for one consonant; formants are those of a male tract."""

    secs: float
    voicing: float = 0.0
    breath: float = 0.0
    formants: tuple[float, float, float] | None = None
    nasal_zero_hz: float = 0.0
    noise: str = ""
    noise_gain: float = 0.0
    burst: bool = False


CONSONANTS = {
    "m": Consonant(0.075, 0.55, formants=(270, 1050, 2200), nasal_zero_hz=950),
    "n": Consonant(0.065, 0.55, formants=(270, 1550, 2500), nasal_zero_hz=1600),
    "l": Consonant(0.060, 0.65, formants=(340, 1100, 2750)),
    "r": Consonant(0.065, 0.65, formants=(340, 1150, 1600)),
    "w": Consonant(0.065, 0.60, formants=(310, 640, 2250)),
    "y": Consonant(0.060, 0.60, formants=(280, 2200, 2950)),
    "h": Consonant(0.070, 0.05, breath=1.0),
    "s": Consonant(0.110, noise="s", noise_gain=0.30),
    "sh": Consonant(0.110, noise="sh", noise_gain=0.36),
    "f": Consonant(0.090, noise="f", noise_gain=0.09),
    "th": Consonant(0.080, noise="th", noise_gain=0.07),
    "z": Consonant(0.080, 0.40, formants=(270, 1650, 2550), noise="s", noise_gain=0.16),
    "v": Consonant(0.060, 0.50, formants=(270, 1100, 2250), noise="f", noise_gain=0.05),
    "t": Consonant(0.085, breath=0.7, noise="t", noise_gain=0.34, burst=True),
    "k": Consonant(0.085, breath=0.7, noise="k", noise_gain=0.30, burst=True),
    "p": Consonant(0.080, breath=0.6, noise="p", noise_gain=0.22, burst=True),
    "ch": Consonant(0.120, breath=0.2, noise="sh", noise_gain=0.36, burst=True),
    "d": Consonant(0.055, 0.22, formants=(250, 1700, 2600), noise="t", noise_gain=0.13, burst=True),
    "g": Consonant(0.055, 0.22, formants=(250, 1900, 2300), noise="k", noise_gain=0.12, burst=True),
    "b": Consonant(0.055, 0.22, formants=(250, 900, 2200), noise="p", noise_gain=0.10, burst=True),
}
"""Consonants; durations are those of unhurried singing."""


@dataclasses.dataclass(frozen=True)
class Singer:
    """One singer's body and habits.

    Attributes:
        kind: A key of `PITCH_RANGES`.
        tract_scale: Factor on all formants: a shorter tract has higher ones.
        rd: Shape of the glottal pulse at middling loudness; see `svdam.corpus.glottis.lf_pulse`.
        breath: Level of the noise of air through the vibrating folds.
        jitter: Deviation of a cycle's length, as a fraction.
        shimmer: Deviation of a cycle's amplitude, as a fraction.
        vibrato_hz: Rate of the vibrato of long notes.
        vibrato_cents: Its depth.
        vibrato_delay_secs: How long a note stands before it begins.
        glide_secs: Time from one pitch to the next (portamento).
        scoop_semitones: How far below a note it may start.
        sway_semitones: How far the pitch of a note leans up or down on its way.
        drift_cents: Slow unsteadiness of the pitch.
        articulation: Factor on the noise of consonants.
        dynamics_db: Range of loudness between syllables.
    """

    kind: str
    tract_scale: float
    rd: float
    breath: float
    jitter: float
    shimmer: float
    vibrato_hz: float
    vibrato_cents: float
    vibrato_delay_secs: float
    glide_secs: float
    scoop_semitones: float
    sway_semitones: float
    drift_cents: float
    articulation: float
    dynamics_db: float


@dataclasses.dataclass(frozen=True)
class Syllable:
    """One sung syllable.

    Attributes:
        vowel_secs: When its vowel starts; the consonants before it start earlier.
        end_secs: When it ends, its last consonants included.
        notes: (start in seconds, pitch) of its notes; more than one is a melisma.
        onset: Consonants before the vowel.
        vowels: One vowel, or two for a diphthong.
        coda: Consonants after the vowel.
        level: Loudness, about 0.4 to 1.
    """

    vowel_secs: float
    end_secs: float
    notes: tuple[tuple[float, float], ...]
    onset: tuple[str, ...]
    vowels: tuple[str, ...]
    coda: tuple[str, ...]
    level: float


def draw_singer(kind: str, rng: np.random.Generator) -> Singer:
    """Draws a singer of one kind of `PITCH_RANGES`."""
    trained = kind in SUNG_FORMANTS
    return Singer(
        kind=kind,
        tract_scale=rng.uniform(0.97, 1.03) if trained else rng.uniform(0.93, 1.07),
        rd=rng.uniform(0.6, 1.2) if trained else rng.uniform(0.5, 1.6),
        breath=rng.uniform(0.01, 0.04) if trained else 10 ** rng.uniform(-2.2, -1.2),
        jitter=rng.uniform(0.0004, 0.0025),
        shimmer=rng.uniform(0.01, 0.05),
        vibrato_hz=rng.uniform(4.7, 6.4),
        vibrato_cents=rng.uniform(45, 120) if trained else rng.choice([8, 20, 35, 60, 90]),
        vibrato_delay_secs=rng.uniform(0.1, 0.4),
        glide_secs=rng.uniform(0.05, 0.26),
        scoop_semitones=rng.uniform(0.0, 3.0),
        sway_semitones=rng.uniform(0.0, 0.3) if trained else rng.uniform(0.1, 1.4),
        drift_cents=rng.uniform(8, 40),
        articulation=10 ** (rng.uniform(-12, 2) / 20),
        dynamics_db=rng.uniform(3, 10),
    )


def write_lyrics(
    phrases: Sequence[Sequence[tuple[float, float, float]]],
    singer: Singer,
    rng: np.random.Generator,
) -> list[list[Syllable]]:
    """Puts syllables under melodies.

    Args:
        phrases: For each phrase its notes, (start, end, pitch), in seconds and MIDI numbers.
        singer: The singer, whose kind decides which vowels there are.
        rng: Source of randomness.

    Returns:
        The syllables of each phrase.
    """
    vowels = list(_vowel_table(singer))
    melisma_chance = rng.choice([0.0, 0.1, 0.3])
    song = []
    for phrase in phrases:
        groups: list[list[tuple[float, float, float]]] = []
        for note in phrase:
            if groups and rng.random() < melisma_chance and len(groups[-1]) < 4:
                groups[-1].append(note)
            else:
                groups.append([note])
        syllables = []
        for notes in groups:
            sung: tuple[str, ...] = (str(rng.choice(vowels)),)
            if len(vowels) > 5 and rng.random() < 0.3:
                sung = _DIPHTHONGS[rng.integers(len(_DIPHTHONGS))]
            coda = _CODAS[rng.integers(len(_CODAS))] if notes[-1][1] - notes[0][0] > 0.22 else ""
            syllables.append(
                Syllable(
                    vowel_secs=notes[0][0],
                    end_secs=notes[-1][1],
                    notes=tuple((start, pitch) for start, _, pitch in notes),
                    onset=tuple(_ONSETS[rng.integers(len(_ONSETS))].split()),
                    vowels=sung,
                    coda=tuple(coda.split()),
                    level=float(10 ** (-singer.dynamics_db * rng.random() / 20)),
                )
            )
        song.append(syllables)
    return song


def _vowel_table(singer: Singer) -> dict[str, tuple[float, ...]]:
    return {**SPEECH_FORMANTS, **SUNG_FORMANTS}[singer.kind]


def vowel_formants(vowel: str, singer: Singer) -> np.ndarray:
    """F1 to F5 in Hz, shape (5,), of a vowel in a singer's mouth."""
    formants = _vowel_table(singer)[vowel]
    formants = (*formants, *_UPPER_SPEECH_FORMANTS.get(singer.kind, ()))
    return np.array(formants, dtype=float) * singer.tract_scale
