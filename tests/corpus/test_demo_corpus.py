"""The built-in corpus: exact labels, a voice with a voice's formants, files as Jamendo has them."""

import dataclasses
import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from scipy.linalg import solve_toeplitz
from scipy.signal import find_peaks, resample_poly

from svdam.core.validation import InputError
from svdam.corpus import demo_corpus, glottis, phonetics, rendering, voice
from svdam.corpus.demo_corpus import CorpusSettings, render_song
from svdam.corpus.rendering import render_demo_corpus

SMALL = CorpusSettings(num_songs=12, song_secs=4.0, seed=5)
RATE = 22050


@pytest.fixture(scope="module")
def songs():
    """Songs with singing, of several seeds."""
    return [render_song(seed, 12.0, True, RATE, 1) for seed in range(8)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    render_demo_corpus(folder, SMALL, num_workers=2)
    return folder


def parse_labels(lines):
    fields = [line.split() for line in lines]
    return [(float(start), float(end), kind) for start, end, kind in fields]


def mask_of(labels, num_samples, rate):
    """Sample by sample, whether a label says sing: written apart from the module's own mask."""
    time = np.arange(num_samples) / rate
    spans = [(start <= time) & (time < end) for start, end, kind in labels if kind == "sing"]
    return np.any(spans, axis=0)


def dry_voice(kind, seed, secs=12.0):
    """A voice without room or band, from a melody of three phrases with rests."""
    rng = np.random.default_rng(seed)
    low, high = phonetics.PITCH_RANGES[kind]
    phrases, time = [], 0.8
    for _ in range(3):
        notes = []
        for _ in range(5):
            length = float(rng.uniform(0.3, 0.6))
            notes.append((time, time + length, float(rng.integers(low + 4, high - 3))))
            time += length
        phrases.append(notes)
        time += 0.9
    singer = phonetics.draw_singer(kind, rng)
    lyrics = phonetics.write_lyrics(phrases, singer, rng)
    return voice.sing(lyrics, singer, round(secs * RATE), RATE, rng)


@pytest.mark.parametrize("kind", ["woman", "man", "bass", "soprano"])
def test_segments_are_where_the_voice_sounds(kind):
    samples, segments = dry_voice(kind, seed=3)
    block_secs = 0.02
    blocks = samples[: len(samples) // 441 * 441].reshape(-1, 441)
    level = 10 * np.log10(np.mean(blocks**2, axis=1) + 1e-12)
    time = (np.arange(len(level)) + 0.5) * block_secs
    sounding = level > np.percentile(level, 95) - 28
    assert len(segments) == 3
    outside = np.all(
        [(time < start - 0.06) | (time > end + 0.06) for start, end in segments], axis=0
    )
    assert not np.any(sounding & outside)
    for start, end in segments:
        inside = (time > start) & (time < end)
        heard = time[inside & sounding]
        # A soft consonant or a closure may come first and last.
        assert heard[0] - start < 0.2 and end - heard[-1] < 0.2
        assert np.mean(sounding[inside]) > 0.75


def test_label_lines_cover_the_song(songs):
    for song in songs:
        labels = parse_labels(song.label_lines())
        assert labels[0][0] == 0.0 and labels[-1][1] == pytest.approx(12.0)
        for before, after in itertools.pairwise(labels):
            assert before[1] == after[0] and before[2] != after[2]
        for start, end, kind in labels[1:-1]:
            assert kind == "sing" or end - start >= demo_corpus.SHORTEST_REST_SECS
        assert mask_of(labels, 1200, 100).mean() > 0.2


def test_voice_to_band_ratio_is_within_its_range(songs):
    ratios = []
    for song in songs:
        mask = mask_of(parse_labels(song.label_lines()), len(song.samples), RATE)
        voice_power = np.mean(song.voice[mask].astype(float) ** 2)
        ratios.append(10 * np.log10(voice_power / np.mean(song.band[mask].astype(float) ** 2)))
    assert all(-6 <= ratio <= 9 for ratio in ratios)
    assert np.ptp(ratios) > 3


def test_samples_are_the_sum_of_the_stems_and_never_clip(songs):
    for song in songs:
        np.testing.assert_allclose(song.samples, song.voice + song.band, atol=1e-7)
        assert np.isfinite(song.samples).all() and 0.1 < np.abs(song.samples).max() <= 1.0


def test_instrumentals_have_no_voice_and_no_sing_label():
    song = render_song(1, 6.0, False, RATE, 2)
    assert not song.voice.any() and not song.segments
    assert parse_labels(song.label_lines()) == [(0.0, 6.0, "nosing")]
    assert np.sqrt(np.mean(song.samples**2)) > 0.003


def test_no_band_of_the_spectrum_is_empty(songs):
    frequencies = np.fft.rfftfreq(len(songs[0].samples), 1 / RATE)
    spots = np.searchsorted(frequencies, [100, 400, 1000, 2500, 5000, 8000])
    for song in songs:
        spectrum = np.abs(np.fft.rfft(song.samples[:, 0])) ** 2
        power = [np.mean(spectrum[a:b]) for a, b in itertools.pairwise(spots)]
        assert 10 * np.log10(max(power) / min(power)) < 75


def steady_vowel(kind, vowel, pitch):
    """A vowel without vibrato, consonants or noise, 0.6 s."""
    rng = np.random.default_rng(0)
    singer = dataclasses.replace(
        phonetics.draw_singer(kind, rng), tract_scale=1.0, breath=0.0, jitter=0.0, shimmer=0.0,
        vibrato_cents=0.0, scoop_semitones=0.0, sway_semitones=0.0, drift_cents=0.0,
    )  # fmt: skip
    syllable = phonetics.Syllable(0.3, 1.3, ((0.3, pitch),), (), (vowel,), (), 0.8)
    samples, _ = voice.sing([[syllable]], singer, round(1.6 * RATE), RATE, rng)
    return samples[round(0.5 * RATE) : round(0.95 * RATE)]


def formant_peaks(samples, order, rate):
    """Peaks of the all-pole envelope by linear prediction (autocorrelation method), in Hz."""
    emphasised = np.append(samples[0], samples[1:] - 0.97 * samples[:-1]) * np.hamming(len(samples))
    power = np.abs(np.fft.rfft(emphasised, 2 * len(samples))) ** 2
    correlation = np.fft.irfft(power)[: order + 1]
    column = correlation[:-1] * np.r_[1 + 1e-9, np.ones(order - 1)]
    predictor = solve_toeplitz(column, correlation[1:])
    envelope = -np.log(np.abs(np.fft.rfft(np.r_[1, -predictor], 8192)))
    return find_peaks(envelope)[0] * rate / 8192


@pytest.mark.parametrize(
    "kind, vowel, f1_hz, f2_hz",
    # Published values, not read from the module.
    [
        ("man", "i", 342, 2322), ("man", "ae", 588, 1952), ("man", "a", 768, 1333),
        ("man", "O", 652, 997), ("man", "V", 623, 1200), ("man", "E", 580, 1799),
        ("bass", "e", 400, 1620), ("bass", "i", 250, 1750), ("bass", "a", 600, 1040),
        ("tenor", "e", 400, 1700), ("tenor", "o", 400, 800), ("tenor", "a", 650, 1080),
    ],
)  # fmt: skip
def test_vowels_have_their_published_formants(kind, vowel, f1_hz, f2_hz):
    samples = resample_poly(steady_vowel(kind, vowel, pitch=26.0), 1, 2)
    peaks = formant_peaks(samples, 14, RATE / 2)
    for published in (f1_hz, f2_hz):
        assert np.min(np.abs(peaks / published - 1)) < 0.12, (peaks, published)


def test_each_kind_of_voice_has_at_least_five_vowels():
    for table in (*phonetics.SPEECH_FORMANTS.values(), *phonetics.SUNG_FORMANTS.values()):
        assert len(table) >= 5 and len({formants[:2] for formants in table.values()}) == len(table)


@pytest.mark.parametrize("kind, pitch", [("man", 45.0), ("woman", 57.0), ("woman", 69.0)])
def test_pitch_is_the_note_sung(kind, pitch):
    samples = steady_vowel(kind, "E", pitch)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**16))
    correlation = np.fft.irfft(spectrum**2)
    shortest, longest = (RATE / (440 * 2 ** ((pitch + by - 69) / 12)) for by in (1, -1))
    lag = int(shortest) + np.argmax(correlation[int(shortest) : int(longest) + 2])
    assert 12 * np.log2(RATE / lag / 440) + 69 == pytest.approx(pitch, abs=0.3)


def test_glottal_pulse_is_the_lf_model():
    for rd in (0.5, 1.0, 2.5):
        pulse = glottis.lf_pulse(rd, 20000)
        assert abs(pulse.mean()) < 1e-3  # the flow returns to where it began
        assert pulse.min() == pytest.approx(-1.0, abs=5e-3)  # the excitation at closure


def test_breathier_pulses_are_darker():
    spectra = [np.abs(np.fft.rfft(glottis.lf_pulse(rd, 4096))) for rd in (0.5, 1.0, 2.5)]
    slopes = [spectrum[1] / spectrum[20] for spectrum in spectra]
    assert slopes[0] < slopes[1] < slopes[2]


def test_same_seed_same_samples_and_another_seed_others():
    first, again, other = (render_song(seed, 4.0) for seed in (7, 7, 8))
    assert np.array_equal(first.samples, again.samples) and first.segments == again.segments
    assert not np.array_equal(first.samples, other.samples)


def test_samples_do_not_depend_on_the_number_of_workers(corpus, tmp_path):
    render_demo_corpus(tmp_path, SMALL, num_workers=1)
    for path in sorted((corpus / "audio").iterdir()):
        ours, _ = soundfile.read(path)
        theirs, _ = soundfile.read(tmp_path / "audio" / path.name)
        assert np.array_equal(ours, theirs), path.name
    for path in (corpus / "labels").iterdir():
        assert path.read_bytes() == (tmp_path / "labels" / path.name).read_bytes()


def test_files_are_readable_of_every_kind_and_of_the_right_length(corpus):
    paths = sorted((corpus / "audio").iterdir())
    assert len(paths) == SMALL.num_songs
    infos = [soundfile.info(path) for path in paths]
    for path, info in zip(paths, infos, strict=True):
        assert info.frames / info.samplerate == pytest.approx(SMALL.song_secs, abs=1e-3)
        lines = (corpus / "labels" / f"{path.stem}.lab").read_text(encoding="utf-8").splitlines()
        assert parse_labels(lines)[-1][1] == pytest.approx(SMALL.song_secs, abs=1e-3)
    assert {info.samplerate for info in infos} == {22050, 44100, 48000}
    assert {info.format for info in infos} == {"WAV", "FLAC", "OGG", "MP3"}
    assert {info.channels for info in infos} == {1, 2}
    names = [path.stem for path in paths]
    assert any(not name.isascii() for name in names) and any("." in name for name in names)
    assert any(" " in name for name in names)


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_labels_stay_aligned_after_decoding(tmp_path, suffix):
    """Codecs delay sound; what libsndfile writes and reads must agree within half a frame."""
    song = render_song(2, 4.0, True, 44100, 1)
    path = tmp_path / f"song{suffix}"
    rendering.write_audio(path, song)
    decoded, rate = soundfile.read(path)
    assert len(decoded) == len(song.samples)
    spectra = [np.fft.rfft(samples, 2**19) for samples in (decoded, song.samples[:, 0])]
    correlation = np.fft.fftshift(np.fft.irfft(spectra[0] * np.conj(spectra[1])))
    assert abs(np.argmax(correlation) - 2**18) / rate < 0.5 / 70


@pytest.mark.parametrize("num_songs", [3, 7, 60])
def test_filelists_are_disjoint_and_complete(num_songs):
    files = demo_corpus.plan_files(CorpusSettings(num_songs=num_songs))
    splits = demo_corpus.split_files(files)
    names = [name for split in splits.values() for name in split]
    assert sorted(names) == sorted(file.name for file in files)
    assert len({name.rsplit(".", 1)[0] for name in names}) == num_songs  # label files differ
    assert all(splits.values())


def test_default_splits_are_mixed():
    files = demo_corpus.plan_files(CorpusSettings())
    splits = demo_corpus.split_files(files)
    assert [len(splits[name]) for name in ("train", "valid", "test")] == [40, 8, 12]
    by_name = {file.name: file for file in files}
    for split in splits.values():
        assert {by_name[name].sings for name in split} == {True, False}
        assert len({name.rsplit(".", 1)[1] for name in split}) == 4
        assert len({by_name[name].style for name in split}) >= 4
    assert {file.voice_kind for file in files} == {None, *phonetics.PITCH_RANGES}


def test_filelists_name_the_files(corpus):
    listed = [
        name
        for split in ("train", "valid", "test")
        for name in (corpus / "filelists" / split).read_text(encoding="utf-8").splitlines()
    ]
    assert sorted(listed) == sorted(path.name for path in (corpus / "audio").iterdir())


def test_an_interrupted_rendering_continues(tmp_path, monkeypatch):
    settings = CorpusSettings(num_songs=4, song_secs=3.0, seed=1)
    render, calls = rendering.render_planned, []

    def stops_at_the_third(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render(*args)

    monkeypatch.setattr(rendering, "render_planned", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        render_demo_corpus(tmp_path, settings, num_workers=1)
    done = sorted((tmp_path / "audio").iterdir())
    assert len(done) == 2 and not (tmp_path / "filelists").exists()
    # A song without its labels counts as not rendered.
    (tmp_path / "labels" / f"{done[1].stem}.lab").unlink()
    before = done[0].stat().st_mtime_ns
    render_demo_corpus(tmp_path, settings, num_workers=1)
    assert len(calls) == 3 + 3
    assert done[0].stat().st_mtime_ns == before
    found = {folder: sorted((tmp_path / folder).iterdir()) for folder in ("audio", "labels")}
    assert [p.stem for p in found["audio"]] == [p.stem for p in found["labels"]]
    assert len(found["audio"]) == 4


SCRIPT = """
from svdam.corpus.demo_corpus import CorpusSettings
from svdam.corpus.rendering import render_demo_corpus
print("started")
render_demo_corpus({folder!r}, CorpusSettings(num_songs={num_songs}, song_secs=3.0), num_workers=2)
"""


def test_a_script_needs_no_main_guard(tmp_path):
    """The workers do not run it again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(tmp_path / "corpus"), num_songs=3))
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout == "started\n"
    assert len(list((tmp_path / "corpus/audio").iterdir())) == 3


def test_workers_end_with_the_process_that_started_them(tmp_path):
    code = SCRIPT.format(folder=str(tmp_path), num_songs=300)
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while not list(tmp_path.glob("labels/*.lab")):
        time.sleep(0.1)
    process.kill()
    process.communicate(timeout=60)  # Until all that write to its standard error have ended.
    assert len(list(tmp_path.glob("labels/*.lab"))) < 300


def test_what_stops_a_worker_stops_the_rendering(tmp_path):
    (tmp_path / "audio").touch()
    with pytest.raises(OSError) as caught:
        render_demo_corpus(tmp_path, SMALL, num_workers=2)
    assert str(tmp_path / "audio") in str(caught.value)


def test_a_folder_of_other_settings_is_refused(corpus):
    with pytest.raises(InputError, match="another folder"):
        render_demo_corpus(corpus, CorpusSettings(num_songs=12, song_secs=4.0, seed=6))


@pytest.mark.parametrize(
    "bad",
    [
        {"num_songs": 2},
        {"num_songs": 3.5},
        {"song_secs": 2.9},
        {"song_secs": float("nan")},
        {"song_secs": float("inf")},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        CorpusSettings(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"song_secs": 1.0},
        {"sample_rate": 16000},
        {"num_channels": 3},
        {"style": "polka"},
        {"voice_kind": "robot"},
    ],
)
def test_songs_out_of_range_are_refused(bad):
    with pytest.raises(InputError):
        render_song(0, **bad)


def test_workers_out_of_range_are_refused(tmp_path):
    with pytest.raises(InputError, match="num_workers"):
        render_demo_corpus(tmp_path, SMALL, num_workers=0)
    assert not list(tmp_path.iterdir())
