"""Files that hold more than libsndfile reads by itself: joined, in Ogg, or with a wrong header."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from svdam.audio import riff
from svdam.audio.decoding import load_audio
from svdam.audio.ogg import with_serial_number
from svdam.core.validation import InputError, InputWarning

RATE = 22050
FLAC_IN_OGG = Path(__file__).parents[1] / "fixtures/flac_in_ogg.oga"  # See the script beside it.
_NUMBERS = iter(range(1, 1000))


def encoded(format_name, secs=2.0, rate=RATE, channels=1, subtype=None, **options):
    """A noisy tone as the bytes of a file, another one each time."""
    rng = np.random.RandomState(next(_NUMBERS))
    noise = 0.1 * rng.normal(size=(round(secs * rate), channels))
    tone = 0.3 * np.sin(np.arange(len(noise)) * 2 * np.pi * rng.randint(200, 900) / rate)
    stream = io.BytesIO()
    soundfile.write(stream, noise + tone[:, None], rate, subtype, format=format_name, **options)
    return stream.getvalue()


def ogg(**options):
    return with_serial_number(encoded("OGG", **options), next(_NUMBERS))


def mp3(**options):
    return encoded("MP3", bitrate_mode="VARIABLE", **options)


def without_count(content):
    return content.replace(b"Xing", bytes(4), 1).replace(b"Info", bytes(4), 1)


def id3(size):
    return b"ID3\3\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def loaded(tmp_path, content, suffix):
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Files that are right as they are need no note.
        return load_audio(path)


JOINED = {
    "two oggs": ("ogg", lambda: [ogg(), ogg()], b""),
    "three oggs": ("ogg", lambda: [ogg(), ogg(secs=0.5), ogg()], b""),
    "vorbis and opus": ("ogg", lambda: [ogg(), ogg(rate=24000, subtype="OPUS")], b""),
    "oggs of two rates": ("ogg", lambda: [ogg(rate=44100, channels=2), ogg(rate=16000)], b""),
    "flac in ogg, and vorbis": ("oga", lambda: [FLAC_IN_OGG.read_bytes(), ogg()], b""),
    "rubbish between oggs": ("ogg", lambda: [ogg(), ogg()], b"\0Og" * 99),
    "two mp3s": ("mp3", lambda: [mp3(), mp3()], b""),
    "three mp3s": ("mp3", lambda: [mp3(), mp3(secs=0.5), mp3()], b""),
    "mp3s of a constant bit rate": ("mp3", lambda: [encoded("MP3"), encoded("MP3")], b""),
    "mp3s of two rates": ("mp3", lambda: [mp3(rate=44100), mp3(rate=16000)], b""),
    "one channel and two": ("mp3", lambda: [mp3(), mp3(channels=2)], b""),
    "a tag between mp3s": ("mp3", lambda: [mp3(), mp3()], b"TAG" + bytes(125) + id3(5000)),
}


@pytest.mark.parametrize(("suffix", "parts", "between"), JOINED.values(), ids=JOINED)
def test_all_parts_of_a_joined_file_are_read(tmp_path, suffix, parts, between):
    contents = parts()
    expected = [loaded(tmp_path, content, suffix) for content in contents]
    found = loaded(tmp_path, between.join(contents), suffix)
    assert len(found) == pytest.approx(sum(map(len, expected)), abs=3)
    # The resampler works through joints of one rate, and ends at those of two.
    joints = np.cumsum([len(part) for part in expected])[:-1]
    difference = np.abs(found[: sum(map(len, expected))] - np.concatenate(expected)[: len(found)])
    for joint in joints:
        difference[joint - 40 : joint + 40] = 0
    assert difference.max() < 1e-5


@pytest.mark.parametrize("rate", [44100, 16000])
@pytest.mark.parametrize("counted", [(False, False), (True, False), (False, True)])
def test_joined_mp3s_without_counts(tmp_path, rate, counted):
    contents = [mp3(), mp3(rate=rate)]
    for number, has_count in enumerate(counted):
        if not has_count:
            contents[number] = without_count(contents[number])
    found = loaded(tmp_path, b"".join(contents), "mp3")
    assert len(found) / RATE == pytest.approx(4, abs=0.3)  # Encoders' delays are not left out.
    frame = 0.2 * RATE
    levels = [np.std(found[round(start) :][: round(frame)]) for start in (frame, 3.6 * RATE)]
    assert min(levels) > 0.1


def test_a_damaged_second_part_is_named(tmp_path):
    second = bytearray(ogg())
    second[60:4000] = bytes(3940)
    with pytest.raises(InputError, match=r"file\.ogg: "):
        loaded(tmp_path, ogg() + second, "ogg")
    with pytest.raises(InputError, match=r"file\.mp3: is truncated or damaged"):
        loaded(tmp_path, mp3() + mp3()[:-9000], "mp3")


def test_flac_in_ogg_is_read(tmp_path):
    found = load_audio(FLAC_IN_OGG, 8000)
    time_secs = np.arange(len(found)) / 8000
    assert len(found) == 15200
    np.testing.assert_allclose(found, 0.125 * np.sin(880 * np.pi * time_secs), atol=1e-3)
    content = FLAC_IN_OGG.read_bytes()
    with pytest.raises(InputError, match=r"file\.oga: .*flac decoder lost sync"):
        loaded(tmp_path, content[: len(content) // 2], "oga")


def wav(**options):
    """(contents, where its data chunk starts, its samples)."""
    content = encoded("WAV", **options)
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return content, content.index(b"data"), samples.mean(axis=1)


def with_size(content, place, size):
    return content[: place + 4] + struct.pack("<I", size) + content[place + 8 :]


@pytest.mark.parametrize("size", [0, 4000, 4001, 2**32 - 1, 2**31])
@pytest.mark.parametrize("riff_size", [0, 4044, 2**32 - 1, None])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_is_read_to_its_end_whatever_its_header_says(tmp_path, size, riff_size, subtype):
    content, place, samples = wav(channels=2, subtype=subtype)
    content = with_size(content, place, size)
    if riff_size is not None:
        content = content[:4] + struct.pack("<I", riff_size) + content[8:]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_allclose(load_audio(path), samples, atol=1e-6)
    notes = [str(note.message) for note in caught if note.category is InputWarning]
    if size > len(content):  # Which means that it is not known.
        assert not notes
    else:
        assert len(notes) == 1
        assert f"a.wav: its header says that {size} bytes of sound follow, but there" in notes[0]


def test_an_rf64_without_its_sizes_is_read(tmp_path):
    content = encoded("RF64")
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    table = content.index(b"ds64") + 8
    (tmp_path / "a.wav").write_bytes(content[:table] + bytes(24) + content[table + 24 :])
    with pytest.warns(InputWarning, match="0 bytes of sound follow"):
        np.testing.assert_array_equal(load_audio(tmp_path / "a.wav"), samples)


def test_a_wav_of_more_than_4_gb(tmp_path):
    """Its size, of 32 bits, is what is left of the true one."""
    content, place, _ = wav()
    size, path = 2**32 + 2_000_000, tmp_path / "large.wav"
    with open(path, "wb") as file:
        file.write(with_size(content, place, size % 2**32)[: place + 8])
        file.truncate(place + 8 + size)  # A hole: it takes no room.
        file.seek(place + 8 + size % 2**32)
        file.write(np.random.RandomState(0).bytes(100))
    with pytest.warns(InputWarning, match=f"there are {size}"):
        for stream in riff.streams(path):
            assert soundfile.SoundFile(stream).frames == size // 2


BEHIND = {
    "nothing": b"",
    "a chunk": b"LIST" + struct.pack("<I", 2400) + bytes(range(240)) * 10,
    "a short rest": b"\x12\x99" * 200,
    "a tag": b"TAG" + bytes(range(250)) * 8,
    "room for more sound": bytes(50_000),
}


@pytest.mark.parametrize("rest", BEHIND.values(), ids=BEHIND)
def test_what_is_no_sound_behind_a_wav_stays_unread(tmp_path, rest):
    content, _, samples = wav()
    np.testing.assert_array_equal(loaded(tmp_path, content + rest, "wav"), samples)


@pytest.mark.parametrize("rest", [b"", BEHIND["a chunk"]])
def test_an_empty_wav_stays_empty(tmp_path, rest):
    content, place, _ = wav()
    with pytest.raises(InputError, match="holds no samples"):
        loaded(tmp_path, with_size(content, place, 0)[: place + 8] + rest, "wav")
