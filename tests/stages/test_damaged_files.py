"""Over 300 damaged and unusual files in one run: nothing crashes, hangs or is lost in silence."""

import json
import subprocess
import sys

import numpy as np
import pytest

from svdam.audio.decoding import load_audio
from svdam.data.records import open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.damaged_files import RATE, all_files, encoded, sound, write_files

# What libsndfile makes of each file by itself, in a process that nothing has happened in.
_PLAIN_DECODER = """
import json, pathlib, sys
import numpy as np, soundfile
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        declared = soundfile.info(path).frames
    except Exception:
        continue
    whole = len(samples) >= 0.99 * declared and np.isfinite(samples).all()
    if whole and 1000 <= rate <= 768_000 and len(samples) / rate > 1.7:
        print(json.dumps(path.name))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    write_files(folder, all_files())
    return folder


@pytest.fixture(scope="module")
def outcome(corpus, tmp_path_factory):
    """(the records, reasons of what was skipped)."""
    settings = PrepareSettings(
        output=str(tmp_path_factory.mktemp("out")),
        dataset="folder",
        data_dir=str(corpus),
        split_by="ratios",
        split_ratios=(1, 0, 0),
        num_workers=2,
    )
    manifest = prepare_data(settings)
    reasons = {song["id"]: song["reason"] for song in manifest["skipped"]}
    return open_records(settings.output), reasons


def test_the_corpus_is_what_it_should_be():
    files = all_files()
    assert len(files) >= 300
    assert {name.rsplit(".", 1)[1] for name in files} == {
        "wav", "flac", "ogg", "opus", "mp3", "aiff"
    }  # fmt: skip
    assert {name.split("-")[0] for name in files} == {"read", "refuse", "any"}


def test_every_file_is_read_or_refused_with_its_reason(corpus, outcome):
    records, reasons = outcome
    read = {song.id for song in records.songs()}
    assert read | reasons.keys() == all_files().keys() and not read & reasons.keys()
    lost = {name: why for name, why in reasons.items() if name.startswith("read-")}
    assert not lost
    assert not [name for name in read if name.startswith("refuse-")]
    for name, reason in reasons.items():
        assert reason.startswith(f"{corpus / name}: ") and "\n" not in reason
        assert "abandoned" not in reason and "ended its process" not in reason


def test_nothing_is_lost_that_a_decoder_of_its_own_could_read(corpus, outcome):
    command = [sys.executable, "-c", _PLAIN_DECODER, str(corpus)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    readable = {json.loads(line) for line in shown.splitlines()}
    assert len(readable) > 70
    assert readable <= {song.id for song in outcome[0].songs()}


def test_files_that_do_not_say_how_long_they_are_are_read_to_their_end(outcome):
    durations_secs = {song.id: song.duration_secs for song in outcome[0].songs()}
    assert durations_secs["read-streamed.flac"] == pytest.approx(2.4, abs=0.01)
    for name in ("read-quiet-loud-uncounted.mp3", "read-loud-quiet-uncounted.mp3"):
        assert durations_secs[name] == pytest.approx(4.8, abs=0.1)


def test_what_is_read_is_the_sound(corpus, outcome):
    """Formats, tags and names change nothing but what their coding costs."""
    expected = sound()[:, 0]
    for name in ("read-pcm_24.wav", "read-id3v2-of-3000000.mp3", "read-rubbish-after.flac",
                 "read-ogg-named.wav", "read-192000-hz.flac", "read-opus-named.mp3"):  # fmt: skip
        found = load_audio(corpus / name)
        assert abs(len(found) - len(expected)) <= RATE // 50
        length = min(len(found), len(expected))
        assert np.corrcoef(found[:length], expected[:length])[0, 1] > 0.95, name


def test_one_silent_channel_of_many_is_not_the_end(tmp_path):
    samples = sound(channels=6)
    (tmp_path / "a.wav").write_bytes(encoded("wav", samples, subtype="FLOAT"))
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), samples.mean(axis=1), atol=1e-6)
