"""A singing voice by source and filter.

A glottal source (the LF model) and the noise of breath pass through a cascade of formant resonators
that glide from sound to sound; hisses and bursts of consonants join behind it. Everything that
shapes the sound is a curve sampled once every `CONTROL_SAMPLES` samples.

Conventions: times in seconds, pitches in MIDI note numbers (69 is 440 Hz, fractions allowed),
frequencies in Hz, samples as float64 arrays of shape (samples,).

Source of the cascade: Klatt, "Software for a cascade/parallel formant synthesizer" (1980), with a
notch of variable depth for its nasal pole-zero pair.
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from svdam.corpus.glottis import HARMONICS, RD_GRID, TABLE_POINTS, pulse_tables
from svdam.corpus.phonetics import CONSONANTS, Consonant, Singer, Syllable, vowel_formants

CONTROL_SAMPLES = 96

_BANDWIDTHS_HZ = np.array([75.0, 95.0, 130.0, 190.0, 260.0])
_NOTCH_BANDWIDTH_HZ = 700.0
_TRACT_FFT = 1024
_NOISE_BANDS_HZ = {
    "s": (4300, 9800),
    "sh": (2100, 6300),
    "f": (1500, 10000),
    "th": (2500, 10000),
    "t": (2800, 9500),
    "k": (1100, 3400),
    "p": (350, 2200),
}


def sing(
    phrases: Sequence[Sequence[Syllable]],
    singer: Singer,
    num_samples: int,
    sample_rate: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Sings phrases.

    Args:
        phrases: The syllables of each phrase, in order of time.
        singer: Who sings.
        num_samples: Length of the result.
        sample_rate: In Hz.
        rng: Source of randomness.

    Returns:
        Samples of shape (num_samples,), of about unit power where the voice sounds, and for each
        phrase the seconds from the start of its first sound to the end of its last.
    """
    curves = Curves(num_samples, sample_rate, singer)
    segments = []
    for phrase in phrases:
        starts = _syllable_starts(phrase)
        for index, syllable in enumerate(phrase):
            last = index == len(phrase) - 1
            end = syllable.end_secs if last else min(syllable.end_secs, starts[index + 1])
            # Within a phrase the voice does not stop for gaps that a listener takes for rhythm.
            if not last and starts[index + 1] - end < 0.06:
                end = starts[index + 1]
            curves.paint_syllable(syllable, starts[index], end, rng)
            curves.paint_pitch(syllable, starts[index], end, index == 0, last, rng)
        curves.paint_inhalation(starts[0], rng)
        segments.append((starts[0], phrase[-1].end_secs))
    curves.finish(rng)
    voice = _filter_tract(_filter_upper(_glottal_source(curves, rng), curves), curves)
    voice += _frication(curves, rng)
    return _level(voice, sample_rate), segments


def _syllable_starts(phrase: Sequence[Syllable]) -> list[float]:
    """When the first consonant of each syllable starts, in seconds."""
    starts = []
    for index, syllable in enumerate(phrase):
        secs = sum(CONSONANTS[name].secs for name in syllable.onset)
        if index:  # fast notes leave less time for consonants
            secs = min(secs, 0.45 * (syllable.vowel_secs - phrase[index - 1].vowel_secs))
        starts.append(max(syllable.vowel_secs - secs, 0.0))
    return starts


class Curves:
    """The control curves of a song's voice: all that changes with time, one value per frame."""

    def __init__(self, num_samples: int, sample_rate: int, singer: Singer):
        self.num_samples, self.sample_rate, self.singer = (
            num_samples,
            sample_rate,
            singer,
        )
        self.rate = sample_rate / CONTROL_SAMPLES
        frames = -(-num_samples // CONTROL_SAMPLES) + 1
        self.voicing, self.breath, self.level = (np.zeros(frames) for _ in range(3))
        self.formants = np.full((frames, 5), np.nan)
        self.nasality = np.zeros(frames)
        self.nasal_zero = np.full(frames, np.nan)
        self.pitch = np.full(frames, np.nan)
        self.vibrato = np.zeros(frames)
        self.noises: list[tuple[float, float, str, float]] = []

    def span(self, start: float, end: float) -> slice:
        """The frames from one second to another, at least one."""
        first = round(start * self.rate)
        return slice(first, max(round(end * self.rate), first + 1))

    def paint_syllable(
        self, syllable: Syllable, start: float, end: float, rng: np.random.Generator
    ) -> None:
        """Writes voicing, breath, formants and noises of a syllable."""
        vowels = [vowel_formants(vowel, self.singer) for vowel in syllable.vowels]
        time = start
        wanted = sum(CONSONANTS[name].secs for name in syllable.onset)
        for name in syllable.onset:
            secs = CONSONANTS[name].secs * (syllable.vowel_secs - start) / wanted
            self._paint_consonant(CONSONANTS[name], time, secs, vowels[0], syllable.level)
            time += secs
        wanted = sum(CONSONANTS[name].secs for name in syllable.coda)
        coda_secs = min(wanted, 0.4 * (end - time))
        span = self.span(time, end - coda_secs)
        length = span.stop - span.start
        turn = np.clip((np.linspace(0, 1, length) - rng.uniform(0.3, 0.6)) * 3, 0, 1)[:, None]
        count = len(self.formants[span])
        self.formants[span] = (vowels[0] * (1 - turn) + vowels[-1] * turn)[:count]
        self.voicing[span] = 1.0
        swell = rng.uniform(-0.25, 0.25) * np.linspace(-1, 1, length)
        self.level[span] = (syllable.level * (1 + swell))[:count]
        time = end - coda_secs
        for name in syllable.coda:
            secs = CONSONANTS[name].secs * coda_secs / wanted
            self._paint_consonant(CONSONANTS[name], time, secs, vowels[-1], syllable.level)
            time += secs

    def _paint_consonant(
        self,
        consonant: Consonant,
        start: float,
        secs: float,
        vowel: np.ndarray,
        level: float,
    ) -> None:
        span = self.span(start, start + secs)
        formants = vowel.copy()
        if consonant.formants:
            woman = self.singer.kind in ("woman", "alto", "soprano")
            formants[:3] = np.array(consonant.formants) * (1.15 if woman else 1.0)
            formants[:3] *= self.singer.tract_scale
        self.formants[span] = formants
        self.voicing[span] = consonant.voicing
        self.level[span] = level
        if consonant.nasal_zero_hz:
            self.nasal_zero[span] = consonant.nasal_zero_hz
            self.nasality[span] = 1.0
        gain = consonant.noise_gain * self.singer.articulation * level**0.5
        if consonant.burst:  # a closure, then the release with its breath
            release = start + 0.6 * secs
            long_release = consonant.noise == "sh"
            self.breath[self.span(release, start + secs)] = consonant.breath * level
            self.noises.append(
                (release, 0.4 * secs if long_release else 0.02, consonant.noise, gain)
            )
        else:
            self.breath[span] = consonant.breath * level
            if consonant.noise:
                self.noises.append((start, secs, consonant.noise, gain))

    def paint_pitch(
        self,
        syllable: Syllable,
        start: float,
        end: float,
        first: bool,
        last: bool,
        rng: np.random.Generator,
    ) -> None:
        """Writes the pitch of a syllable's notes: scoops, falls and vibrato of long notes."""
        singer = self.singer
        times = [start] + [time for time, _ in syllable.notes[1:]] + [end]
        for index, (_, pitch) in enumerate(syllable.notes):
            span = self.span(times[index], times[index + 1])
            length = len(self.pitch[span])
            secs = np.arange(length) / self.rate
            way = np.linspace(-1, 1, length)
            lean, bend = rng.normal(0, singer.sway_semitones, 2) * (0.6, 0.4)
            line = pitch + lean * way + bend * (way**2 - 0.33)
            if index == 0 and rng.random() < (0.6 if first else 0.3):
                line = line - singer.scoop_semitones * rng.random() * (
                    secs < rng.uniform(0.05, 0.15)
                )
            if last and index == len(syllable.notes) - 1 and rng.random() < 0.4:
                to_end = secs[-1] - secs if length else secs
                line = line - rng.uniform(0.5, 3) * np.clip(
                    1 - to_end / rng.uniform(0.1, 0.3), 0, 1
                )
            self.pitch[span] = line
            onset = singer.vibrato_delay_secs * rng.uniform(0.7, 1.4)
            depth = np.clip((secs - onset) / 0.3, 0, 1) * (length / self.rate > onset + 0.15)
            self.vibrato[span] = depth * rng.uniform(0.6, 1.2) * singer.vibrato_cents / 100

    def paint_inhalation(self, phrase_start: float, rng: np.random.Generator) -> None:
        """Writes an audible breath into the silence before a phrase, if there is any."""
        secs = rng.uniform(0.15, 0.4)
        span = self.span(max(phrase_start - secs - 0.05, 0.0), phrase_start - 0.05)
        if phrase_start < 0.3 or np.any(self.voicing[span]) or np.any(self.level[span]):
            return
        self.breath[span] = rng.uniform(0.01, 0.06) * np.hanning(span.stop - span.start)
        self.formants[span] = vowel_formants("e", self.singer)

    def finish(self, rng: np.random.Generator) -> None:
        """Turns the painted steps into motion: glides of pitch, formants and level."""
        singer = self.singer
        frames = len(self.pitch)
        pitch = _smooth(_fill(self.pitch), singer.glide_secs * self.rate)
        wander = lfilter([0.02], [1, -0.98], rng.standard_normal(frames)) * 10
        rate = singer.vibrato_hz * (1 + 0.06 * lfilter([0.02], [1, -0.98], rng.normal(size=frames)))
        phase = 2 * np.pi * (np.cumsum(rate) / self.rate + rng.random())
        pitch += wander * singer.drift_cents / 100
        depth = _smooth(self.vibrato, 0.1 * self.rate)
        pitch += depth * np.sin(phase)
        self.f0_hz = 440 * 2 ** ((pitch - 69) / 12)
        self.level = _smooth(self.level, 0.06 * self.rate) * (1 + 0.6 * depth * np.sin(phase + 1))
        self.voicing = _smooth(self.voicing, 0.025 * self.rate)
        self.breath = _smooth(self.breath, 0.02 * self.rate)
        formants = np.column_stack([_fill(column) for column in self.formants.T])
        self.formants = np.apply_along_axis(_smooth, 0, formants, 0.07 * self.rate)
        # Singers open the mouth on high notes: F1 never lies under the fundamental.
        self.formants[:, 0] = np.maximum(self.formants[:, 0], 1.03 * self.f0_hz)
        self.formants[:, 1] = np.maximum(self.formants[:, 1], self.formants[:, 0] + 200)
        self.nasality = _smooth(self.nasality, 0.04 * self.rate)
        self.nasal_zero = _smooth(np.clip(_fill(self.nasal_zero), 900, 1700), 0.04 * self.rate)


def _fill(values: np.ndarray) -> np.ndarray:
    """Replaces NaN by the line between the known values around it."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.full(len(values), 60.0)
    return np.interp(np.arange(len(values)), known, values[known])


def _smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Moving average with a Hann window of about ``width`` frames."""
    window = np.hanning(2 * max(round(width / 2), 1) + 3)[1:-1]
    half = len(window) // 2
    padded = np.pad(values, half, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _glottal_source(curves: Curves, rng: np.random.Generator) -> np.ndarray:
    """The sound at the glottis: pulses with jitter and shimmer, and breath that they modulate."""
    singer, rate = curves.singer, curves.sample_rate
    samples = np.arange(curves.num_samples)
    frames = np.arange(len(curves.f0_hz)) * CONTROL_SAMPLES

    def at_samples(curve: np.ndarray) -> np.ndarray:
        return np.interp(samples, frames, curve)

    f0_hz = at_samples(curves.f0_hz)
    cycle = np.cumsum(f0_hz / rate).astype(int)
    jitter = rng.normal(0, singer.jitter, cycle[-1] + 2)
    shimmer = rng.normal(1, singer.shimmer, cycle[-1] + 2)
    phase = np.cumsum(f0_hz * (1 + jitter[cycle]) / rate) % 1
    # A louder voice closes its folds faster: smaller Rd, flatter spectrum.
    rd = np.clip(singer.rd + 0.9 * (0.65 - curves.level), RD_GRID[0], RD_GRID[-1] - 1e-6)
    row = at_samples((rd - RD_GRID[0]) / (RD_GRID[1] - RD_GRID[0]))
    band = np.searchsorted(HARMONICS, 0.48 * rate / f0_hz, side="right") - 1
    tables = pulse_tables().reshape(-1)
    floor_row = row.astype(int)
    start = (np.maximum(band, 0) * len(RD_GRID) + floor_row) * TABLE_POINTS
    point = start + (phase * TABLE_POINTS).astype(int)
    weight = row - floor_row
    pulses = tables[point] * (1 - weight) + tables[point + TABLE_POINTS] * weight
    voicing = at_samples(curves.voicing * curves.level)
    noise = rng.standard_normal(curves.num_samples)
    opened = 0.35 + 0.65 * np.sin(np.pi * np.minimum(phase / 0.75, 1)) ** 2
    breathiness = singer.breath * (1.6 - at_samples(curves.level))
    breath = voicing * breathiness * opened + 0.10 * at_samples(curves.breath)
    return voicing * shimmer[cycle] * pulses + noise * breath


def _filter_tract(source: np.ndarray, curves: Curves) -> np.ndarray:
    """Passes the source through the gliding formants.

    Each frame of the source is windowed and filtered as a whole by its own coefficients, and the
    frames are added up: recursive filters whose coefficients move that fast would click.
    """
    rate, hop = curves.sample_rate, CONTROL_SAMPLES
    padded = np.pad(source, (hop, 2 * hop))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop]
    active = np.flatnonzero((curves.voicing + curves.breath > 1e-4)[: len(blocks)])
    nasality = curves.nasality[active, None]
    formants = curves.formants[active]
    bandwidths = _BANDWIDTHS_HZ * (1 + formants / 12000) * (1 + 1.5 * nasality)
    # The closed mouth is a side branch that swallows a band: a notch, as deep as nasality says.
    notch_hz = curves.nasal_zero[active, None]
    zero = _resonator(notch_hz, 80 + (_NOTCH_BANDWIDTH_HZ - 80) * (1 - nasality), rate)[:, 0]
    poles = _resonator(formants, bandwidths, rate)
    denominator = _resonator(notch_hz, np.array([_NOTCH_BANDWIDTH_HZ]), rate)[:, 0]
    for section in range(poles.shape[1]):
        denominator = _polynomial_product(denominator, poles[:, section])
    gain = denominator.sum(axis=1) / zero.sum(axis=1)  # 0 dB at 0 Hz
    response = np.fft.rfft(zero * gain[:, None], _TRACT_FFT) / np.fft.rfft(denominator, _TRACT_FFT)
    window = np.hanning(2 * hop + 1)[:-1]
    filtered = np.fft.irfft(np.fft.rfft(blocks[active] * window, _TRACT_FFT) * response)
    out = np.zeros(len(padded) + _TRACT_FFT)
    for frame, block in zip(active, filtered, strict=True):
        out[frame * hop : frame * hop + _TRACT_FFT] += block
    return out[hop : hop + len(source)]


def _polynomial_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row, the product of polynomials of shapes (rows, m) and (rows, 3)."""
    product = np.zeros((len(a), a.shape[1] + 2))
    for power in range(3):
        product[:, power : power + a.shape[1]] += a * b[:, power : power + 1]
    return product


def _filter_upper(source: np.ndarray, curves: Curves) -> np.ndarray:
    """The tube's fixed higher resonances, which keep the spectrum from falling off behind F5."""
    rate, spacing = curves.sample_rate, 1050.0 * curves.singer.tract_scale
    centres = np.arange(np.median(curves.formants[:, 4]) + spacing, 0.47 * rate, spacing)
    poles = _resonator(centres, np.full(len(centres), 500.0), rate)
    sections = np.zeros((len(centres), 6))
    sections[:, 0], sections[:, 3:] = poles.sum(axis=-1), poles
    return sosfilt(sections, source) if len(centres) else source


def _resonator(centre_hz: np.ndarray, bandwidth_hz: np.ndarray, rate: int) -> np.ndarray:
    """Denominators (1, a1, a2) of two-pole resonators, shape (..., 3)."""
    radius = np.exp(-np.pi * bandwidth_hz / rate)
    a1 = -2 * radius * np.cos(2 * np.pi * centre_hz / rate)
    return np.stack(np.broadcast_arrays(1.0, a1, radius**2), axis=-1)


def _frication(curves: Curves, rng: np.random.Generator) -> np.ndarray:
    """The hisses and bursts of consonants."""
    rate = curves.sample_rate
    out = np.zeros(curves.num_samples)
    for start, secs, kind, gain in curves.noises:
        first = round(start * rate)
        length = min(round(secs * rate), curves.num_samples - first)
        if length < 8:
            continue
        low, high = _NOISE_BANDS_HZ[kind]
        band = butter(2, [low, min(high, 0.47 * rate)], "bandpass", fs=rate, output="sos")
        noise = sosfilt(band, rng.standard_normal(length + 64))[64:]
        ramp = np.minimum(np.arange(length) / (0.3 * length), 1.0)
        shape = np.exp(-np.arange(length) / (0.3 * length)) if secs <= 0.025 else ramp * ramp[::-1]
        out[first : first + length] += gain * shape * noise
    return out


def _level(voice: np.ndarray, rate: int) -> np.ndarray:
    """Evens out loudness, as a compressor does, and brings the sounding voice to unit power."""
    decay = np.exp(-1 / (0.08 * rate))
    power = lfilter([1 - decay], [1, -decay], voice**2)
    loud = power[power > 1e-3 * power.max()] if power.any() else np.ones(1)
    typical = np.mean(loud)
    gain = (power / typical + 0.05) ** -0.2
    voice = voice * gain
    return (
        voice / np.sqrt(np.mean(voice[power > 1e-3 * power.max()] ** 2)) if power.any() else voice
    )
