"""The built-in corpus: songs rendered from a seed, with exact labels of where a voice sings.

The folder has Jamendo's layout: ``audio/``, ``labels/<stem>.lab`` with lines
``start end sing|nosing`` (seconds, contiguous, covering the song), and ``filelists/train``,
``valid`` and ``test`` with one audio file name a line. Files come as WAV, FLAC, OGG and MP3, at
22050, 44100 and 48000 Hz, mono and stereo, some with spaces, dots and non-ASCII letters in their
names, because users' files do.

A sing segment spans a phrase, from the first sound of its first syllable to the last of its last;
gaps of less than `SHORTEST_REST_SECS` belong to the phrase, as human annotators label. Audible
inhalations and reverberation after the phrase are not singing.

Sound is made at 22050 or 24000 Hz and doubled to 44100 and 48000: no front end here listens above
8 kHz.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter, resample_poly

from svdam.core.settings import Settings, setting
from svdam.core.validation import InputError
from svdam.corpus import arrangement, composition, effects, phonetics

SHORTEST_REST_SECS = 0.3
VOICE_TO_BAND_DB = (-6.0, 9.0)
CORPUS_VERSION = 2

FORMATS = (".wav", ".flac", ".ogg", ".mp3")
SAMPLE_RATES = (22050, 44100, 48000)
_TITLES = (
    "Harbour Lights", "Été à São Paulo.v2", "paper_boats", "Grüße aus Köln", "No. 7 (live)",
    "slow-river", "Žluťoučký kůň", "Two   Rooms", "夜の電車", "Count Me In", "Ночной дождь",
    "a.b.c", "Señora Luz", "half past nine", "Ørsted & Sons",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CorpusSettings(Settings):
    """What the corpus is made of."""

    num_songs: int = setting(60, "Number of songs.", minimum=3, maximum=100_000)
    song_secs: float = setting(20.0, "Length of a song, in seconds.", minimum=3.0, maximum=3600.0)
    seed: int = setting(0, "Random seed of the corpus.", minimum=0, maximum=2**32 - 1)


@dataclasses.dataclass(frozen=True)
class Song:
    """A rendered song.

    Attributes:
        samples: The sound, float32, shape (samples, channels); the sum of voice and band.
        voice: Its voice alone, same shape, with the gain and the equaliser of the whole.
        band: All the rest alone.
        sample_rate: In Hz.
        segments: (start, end) of each sung phrase in seconds, in order, apart by at least
            `SHORTEST_REST_SECS`.
        meta: Style, kind of voice (or None) and voice-to-band ratio in dB (or None).
    """

    samples: np.ndarray
    voice: np.ndarray
    band: np.ndarray
    sample_rate: int
    segments: tuple[tuple[float, float], ...]
    meta: dict[str, str | float | None]

    def label_lines(self) -> list[str]:
        """The lines of the song's label file; they cover it without gaps."""
        edges = [0.0, *(edge for segment in self.segments for edge in segment)]
        edges.append(len(self.samples) / self.sample_rate)
        lines = []
        for index, (start, end) in enumerate(itertools.pairwise(edges)):
            if end > start:
                lines.append(f"{start:.6f} {end:.6f} {'sing' if index % 2 else 'nosing'}")
        return lines


def render_song(
    seed: int | Sequence[int],
    song_secs: float = 20.0,
    sings: bool = True,
    sample_rate: int = 22050,
    num_channels: int = 1,
    style: str | None = None,
    voice_kind: str | None = None,
) -> Song:
    """Renders one song.

    Args:
        seed: Seed, or several numbers that are one together; the same seed gives the same samples.
        song_secs: Length in seconds, at least 3.
        sings: Whether there is a voice.
        sample_rate: One of `SAMPLE_RATES`.
        num_channels: 1 or 2.
        style: A style of `svdam.corpus.arrangement`, drawn if None.
        voice_kind: A kind of `svdam.corpus.phonetics.PITCH_RANGES`, drawn if None.

    Returns:
        The song with its stems and the exact times of singing.

    Raises:
        InputError: If an argument is out of range.
    """
    CorpusSettings(song_secs=song_secs)
    if sample_rate not in SAMPLE_RATES or num_channels not in (1, 2):
        raise InputError(
            f"render_song: found {sample_rate} Hz and {num_channels} channels, "
            f"expected one of {SAMPLE_RATES} Hz and 1 or 2 channels"
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    styles = arrangement.SINGER_STYLES if sings else arrangement.INSTRUMENTAL_STYLES
    style = style or styles[rng.integers(len(styles))]
    if style not in styles or (voice_kind or "man") not in phonetics.PITCH_RANGES:
        raise InputError(
            f"render_song: found style {style!r} and voice {voice_kind!r}, expected a style of "
            f"{sorted(set(styles))} and a voice of {sorted(phonetics.PITCH_RANGES)}"
        )
    rate = 24000 if sample_rate == 48000 else 22050
    plan = composition.draw_plan(song_secs, style, rng)
    num_samples = round(song_secs * rate)
    sung: np.ndarray = np.zeros((num_samples, 2))
    segments: tuple[tuple[float, float], ...] = ()
    if sings:
        voice_kind = (
            voice_kind or arrangement.VOICE_KINDS[rng.integers(len(arrangement.VOICE_KINDS))]
        )
        sung, phrases = arrangement.sing_song(plan, voice_kind, num_samples, rate, rng)
        segments = _merge(phrases, song_secs)
    band = arrangement.play_band(plan, style, segments, rate, rng)
    band = effects.reverberate(band, arrangement.draw_room(rate, rng), rng.uniform(0.05, 0.4))
    sung, band, ratio_db = _balance(sung, band, segments, rate, rng)
    sung, band = _master(sung, band, rate, rng)
    if num_channels == 1:
        sung, band = sung.mean(axis=1, keepdims=True), band.mean(axis=1, keepdims=True)
    if sample_rate != rate:
        sung, band = resample_poly(sung, 2, 1, axis=0), resample_poly(band, 2, 1, axis=0)
    length = round(song_secs * sample_rate)
    sung, band = (_fit(stem, length).astype(np.float32) for stem in (sung, band))
    meta = {"style": style, "voice": voice_kind if sings else None, "voice_to_band_db": ratio_db}
    return Song(sung + band, sung, band, sample_rate, segments, meta)


def _fit(stem: np.ndarray, length: int) -> np.ndarray:
    return np.pad(stem, ((0, max(length - len(stem), 0)), (0, 0)))[:length]


def _merge(
    segments: Sequence[tuple[float, float]], song_secs: float
) -> tuple[tuple[float, float], ...]:
    """Joins segments that are closer than a rest."""
    merged: list[tuple[float, float]] = []
    for start, end in segments:
        end = min(end, song_secs)
        if merged and start - merged[-1][1] < SHORTEST_REST_SECS:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return tuple(merged)


def singing_mask(
    segments: Sequence[tuple[float, float]], num_samples: int, rate: int
) -> np.ndarray:
    """Which samples lie in a sing segment: bool, shape (num_samples,)."""
    mask = np.zeros(num_samples, bool)
    for start, end in segments:
        mask[round(start * rate) : round(end * rate)] = True
    return mask


def _balance(
    sung: np.ndarray,
    band: np.ndarray,
    segments: Sequence[tuple[float, float]],
    rate: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Sets the energy ratio of voice to band within the sing segments."""
    # Within the range by a margin, because compression changes the weight of loud passages. Voices
    # that lead the band are the rule, buried ones the exception.
    ratio_db = float(VOICE_TO_BAND_DB[0] + 1 + 13 * rng.beta(5.0, 1.0))
    tone = [(rng.uniform(80, 7000), rng.uniform(-3, 3), rng.uniform(0.5, 1.5)) for _ in range(3)]
    corner_hz, tilt_db = rng.uniform(800, 4000), rng.uniform(-4, 5)
    sung, band = (
        effects.shelve(effects.equalise(stem, tone, rate), corner_hz, tilt_db, rate)
        for stem in (sung, band)
    )
    mask = singing_mask(segments, len(band), rate)
    if not mask.any():
        return sung, band, None
    gain = np.sqrt(np.mean(band[mask] ** 2) / np.mean(sung[mask] ** 2)) * 10 ** (ratio_db / 20)
    return sung * gain, band, ratio_db


def _master(
    sung: np.ndarray, band: np.ndarray, rate: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Compresses and levels both stems by one and the same gain, and adds the noise of the tape."""
    mix = sung + band
    power = np.mean(mix**2, axis=1)
    noise = lfilter([1.0, -0.2], [1.0, -0.9], rng.standard_normal(mix.shape), axis=0)
    hiss = rng.standard_normal(mix.shape) + 0.4 * noise
    band = band + hiss * np.sqrt(power.mean()) * 10 ** (rng.uniform(-62, -40) / 20)
    decay = np.exp(-1 / (0.12 * rate))
    envelope = lfilter([1 - decay], [1, -decay], power) / power.mean()
    gain = (envelope + 0.1) ** (-0.5 * rng.uniform(0, 0.5))
    gain *= 10 ** (rng.uniform(-9, -0.3) / 20) / np.max(np.abs(mix) * gain[:, None])
    return sung * gain[:, None], band * gain[:, None]


@dataclasses.dataclass(frozen=True)
class SongFile:
    """Where a song of the corpus lies and how it is rendered."""

    index: int
    name: str
    sample_rate: int
    num_channels: int
    sings: bool
    style: str
    voice_kind: str | None


def plan_files(settings: CorpusSettings) -> list[SongFile]:
    """The files of a corpus: formats, rates, styles and voices spread evenly over the songs."""
    files = []
    for index in range(settings.num_songs):
        sings = index % 3 != 1
        turn = index // 3 * 2 + (index % 3 == 2) if sings else index // 3
        styles = arrangement.SINGER_STYLES if sings else arrangement.INSTRUMENTAL_STYLES
        title = _TITLES[index * 4 % len(_TITLES) if index >= len(_TITLES) else index]
        files.append(
            SongFile(
                index=index,
                name=f"{index + 1:02d} - {title}{FORMATS[index % 4]}",
                sample_rate=SAMPLE_RATES[(index + index // 4) % 3],
                num_channels=1 + (index // 2 + index // 12) % 2,
                sings=sings,
                style=styles[(turn + turn // len(styles)) % len(styles)],
                voice_kind=arrangement.VOICE_KINDS[turn % len(arrangement.VOICE_KINDS)]
                if sings
                else None,
            )
        )
    return files


def render_planned(settings: CorpusSettings, file: SongFile) -> Song:
    """Renders a song of a corpus as it was planned; see `render_song`."""
    return render_song(
        (settings.seed, file.index),
        settings.song_secs,
        file.sings,
        file.sample_rate,
        file.num_channels,
        file.style,
        file.voice_kind,
    )


def split_files(files: Sequence[SongFile]) -> dict[str, list[str]]:
    """Names of the train, valid and test songs, about 10 : 2 : 3, none of them empty."""
    splits: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for file in files:
        place = file.index % 15
        # The first songs visit all splits, so that the smallest corpus has all of them.
        split = "valid" if place in (1, 9) else "test" if place in (2, 7, 12) else "train"
        splits[split].append(file.name)
    return splits
