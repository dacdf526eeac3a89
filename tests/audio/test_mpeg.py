"""MP3 files without a count of their frames, against the same files with it."""

import numpy as np
import pytest
import soundfile

from svdam.audio.decoding import load_audio
from svdam.audio.mpeg import counted_samples, streams

_ENCODER_DELAY = 576  # LAME's; of a file with LAME's count, decoders leave it out.


@pytest.fixture(params=["quiet first", "loud first", "loud first, mono, 22050 Hz"])
def pair(request, tmp_path):
    """(an MP3 with a count, the same without, its samples and rate)."""
    rate, channels = (22050, 1) if "mono" in request.param else (44100, 2)
    noise = np.random.RandomState(0).normal(size=(6 * rate, channels))
    noise[: 3 * rate] *= 1e-5
    sound = 0.2 * (noise[::-1] if "loud first" in request.param else noise)
    with_count, without = tmp_path / "with.mp3", tmp_path / "without.mp3"
    soundfile.write(with_count, sound, rate, bitrate_mode="VARIABLE")
    # Its first frame is then a silent one like others, as of ``ffmpeg -write_xing 0``.
    without.write_bytes(with_count.read_bytes().replace(b"Xing", bytes(4), 1))
    return with_count, without, rate


def test_libsndfile_alone_guesses_wrong(pair):
    with_count, without, rate = pair
    assert soundfile.info(with_count).frames == 6 * rate
    assert abs(soundfile.info(without).frames - 6 * rate) > rate


def test_the_whole_sound_is_read(pair):
    with_count, without, rate = pair
    expected, found = (load_audio(path, rate) for path in (with_count, without))
    start = (1152 if rate == 44100 else 576) + _ENCODER_DELAY
    assert start - 1152 < len(found) - len(expected) < start + 1152
    shifted = found[start : start + len(expected)]
    np.testing.assert_allclose(shifted, expected[: len(shifted)], atol=1e-6)


def test_tags_and_rubbish_are_stepped_over(pair, tmp_path):
    with_count, without, _ = pair
    content, counted = without.read_bytes(), counted_samples(without)
    middle = content.index(content[:2], len(content) // 2)
    rubbish = np.random.RandomState(1).bytes(3000)
    tag = b"ID3\x04\x00\x10" + bytes([0, 0, 2, 0]) + b"\xff\xfb\x90\x64" * 64 + bytes(10)
    odd = tmp_path / "odd.mp3"
    odd.write_bytes(tag + tag + content[:middle] + rubbish + content[middle:] + b"TAG" + bytes(125))
    assert abs(counted_samples(odd) - counted) <= 3 * 1152
    assert counted_samples(with_count) is None


@pytest.mark.parametrize("content", [b"\xff", b"ID3", b"\xff" * 5000, b"no sound" * 999])
def test_other_files_have_no_frames(tmp_path, content):
    path = tmp_path / "x.mp3"
    path.write_bytes(content)
    assert counted_samples(path) is None
    assert not list(streams(path, 7))
