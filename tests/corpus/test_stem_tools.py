"""tools/render_stems.py and tools/produce_voices.py: what prepare_data --dataset=stems reads."""

import numpy as np
import produce_voices
import pytest
import render_stems
import soundfile

from svdam.corpus.demo_corpus import CorpusSettings, plan_files, render_song
from svdam.datasets.stems import MixSettings, list_stems

SETTINGS = CorpusSettings(num_songs=4, song_secs=3.0, seed=5)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stems") / "rendered"
    render_stems.render_stems(folder, SETTINGS)
    return folder


def test_stems_are_those_of_the_corpus(rendered):
    (file, *_) = [file for file in plan_files(SETTINGS) if file.sings]
    song = render_song(
        (5, file.index), 3.0, True, 22050, style=file.style, voice_kind=file.voice_kind
    )
    for suffix, expected in (("voice", song.voice), ("backing", song.band)):
        found, rate = soundfile.read(rendered / f"{file.index:05d}.{suffix}.ogg")
        assert rate == 22050 and len(found) == len(expected)
        assert np.corrcoef(found, expected[:, 0])[0, 1] > 0.95
    labels = (rendered / f"{file.index:05d}.lab").read_text().splitlines()
    assert labels == song.label_lines()


def test_they_are_read_as_stems(rendered):
    listing = list_stems(str(rendered.parent), MixSettings(num_remixes=1), split_ratios=(1, 0, 0))
    sung = [file for file in plan_files(SETTINGS) if file.sings]
    assert len(listing.songs) == 4 + len(sung) and not listing.skipped
    assert sum(song.labels is not None for song in listing.songs) == 2 * len(sung)


def test_a_produced_voice_sings_when_the_dry_one_does(rendered, tmp_path, monkeypatch):
    monkeypatch.setattr(
        produce_voices, "FLAGS",
        type("Flags", (), {"data_dir": str(rendered), "output": str(tmp_path / "wet")}),
    )  # fmt: skip
    produce_voices.main([])
    names = {path.name for path in (tmp_path / "wet").iterdir()}
    voices = sorted(rendered.glob("*.voice.ogg"))
    assert names == {
        name.replace("voice", kind) if kind != "lab" else name.replace("voice.ogg", "lab")
        for name in (path.name for path in voices)
        for kind in ("voice", "backing", "lab")
    }
    for path in voices:
        dry, _ = soundfile.read(path)
        wet, _ = soundfile.read(tmp_path / "wet" / path.name)
        assert len(wet) == len(dry) and np.abs(wet).max() == pytest.approx(0.7, abs=0.05)
        hop = 2205
        dry, wet = (np.sqrt(np.square(one[: len(one) // hop * hop].reshape(-1, hop)).mean(axis=1))
                    for one in (dry, wet))  # fmt: skip
        assert np.corrcoef(np.log(dry + 1e-3), np.log(wet + 1e-3))[0, 1] > 0.5
        assert np.abs(np.log(dry + 1e-3) - np.log(wet + 1e-3)).mean() > 0.05


def test_the_same_name_gives_the_same_production(rendered, tmp_path):
    voice = next(rendered.glob("*.voice.ogg"))
    for folder in ("a", "b"):
        produce_voices.produce(voice, tmp_path / folder / voice.name)
    a, b = (soundfile.read(tmp_path / folder / voice.name)[0] for folder in "ab")
    np.testing.assert_array_equal(a, b)
