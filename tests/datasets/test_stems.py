"""Listing of songs with separate voices: layouts, splits, remixes, and what is refused."""

import shutil

import pytest

from svdam.core.validation import InputError
from svdam.datasets.stems import MixSettings, list_stems
from tests.data.small_stems import noise, voice, write, write_stems


@pytest.fixture(scope="module")
def stems(tmp_path_factory):
    return write_stems(tmp_path_factory.mktemp("stems"))


@pytest.fixture
def lists(tmp_path):
    """Singer bert for validation, and one instrumental; singer carl for testing."""
    (tmp_path / "train").write_text("singers\ninstrumental/\n")
    (tmp_path / "valid.txt").write_text("singers/bert\ninstrumental/piece2.wav\n")
    (tmp_path / "test").write_text("singers/carl/song1\nsingers/carl/song2\n")
    return str(tmp_path)


def _splits(listing) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for song in listing.songs:
        found.setdefault(song.split, set()).add(song.id)
    return found


def test_each_voice_has_its_backing_and_other_files_are_not_sung(stems, lists):
    listing = list_stems(str(stems), MixSettings(), split_lists=lists)
    assert _splits(listing) == {
        "train": {"singers/anna/song1", "singers/anna/song2", "instrumental/piece1.wav"},
        "valid": {"singers/bert/song1", "singers/bert/song2", "instrumental/piece2.wav"},
        "test": {"singers/carl/song1", "singers/carl/song2"},
    }
    assert not listing.skipped and not listing.warnings
    for song in listing.songs:
        if "instrumental" in song.id:
            assert song.mix.level_db is None and song.mix.others == () and song.labels is None
        else:
            assert song.source == f"{song.id}.voice.wav"
            assert song.mix.others == (f"{song.id}.backing.wav",) and song.mix.position == 0
            assert -6 <= song.mix.level_db <= 9
            assert ("carl" in song.id) == (song.labels is not None)
        assert -26 <= song.mix.loudness_db <= -12
        assert song.others == tuple(f"{stems}/{source}" for source in song.mix.others)
    assert len({song.mix.loudness_db for song in listing.songs}) == 8


def test_remixes_stay_in_their_split(stems, lists):
    mixing = MixSettings(num_remixes=20)
    listing = list_stems(str(stems), mixing, split_lists=lists)
    assert len(listing.songs) == 8 + 6 * 20
    split_of, used = {}, {}
    for song in listing.songs:
        files = (song.source, *song.mix.others)
        for file in files:
            split_of.setdefault(file, set()).add(song.split)
        if "remix" in song.id:
            assert song.source.replace(".voice", ".backing") not in song.mix.others
            used.setdefault(song.split, set()).update(song.mix.others)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert used["train"] == {
        "singers/anna/song1.backing.wav",
        "singers/anna/song2.backing.wav",
        "instrumental/piece1.wav",
    }
    assert list_stems(str(stems), mixing, split_lists=lists) == listing
    again = list_stems(str(stems), MixSettings(num_remixes=20, seed=1), split_lists=lists)
    assert again != listing


def test_draws_of_a_mix_stay_when_songs_are_added(stems, lists, tmp_path):
    more = shutil.copytree(stems, tmp_path / "more")
    write(more / "singers/anna/song0.voice.wav", voice(3, [(1, 2)]))
    write(more / "singers/anna/song0.backing.wav", noise(3, seed=20))
    before, after = (
        {song.id: song.mix for song in list_stems(str(f), MixSettings(), split_lists=lists).songs}
        for f in (stems, more)
    )
    assert before.items() < after.items() and len(after) == len(before) + 1


def test_singers_stay_together_when_splits_come_from_ratios(stems):
    splits_seen = set()
    for seed in range(20):
        listing = list_stems(str(stems), MixSettings(), split_seed=seed, split_ratios=(2, 1, 1))
        by_folder: dict[str, set[str]] = {}
        for song in listing.songs:
            by_folder.setdefault(song.id.rpartition("/")[0], set()).add(song.split)
        assert len(by_folder) == 4 and all(len(found) == 1 for found in by_folder.values())
        splits_seen |= set(_splits(listing))
    assert splits_seen == {"train", "valid", "test"}


def test_the_layout_of_musdb18(tmp_path):
    for split, song in (("train", "A - x"), ("train", "B - y.z"), ("test", "C")):
        for stem in ("vocals", "drums", "bass", "other", "mixture"):
            write(tmp_path / split / song / f"{stem}.wav", noise(1, seed=1))
    (tmp_path / "train/B - y.z/drums.wav").unlink()
    mixing = MixSettings(voice="vocals", backing=("drums", "bass", "other"))
    listing = list_stems(str(tmp_path), mixing)
    assert _splits(listing) == {"train": {"train/A - x"}, "test": {"test/C"}}
    first = listing.songs[0]
    assert first.source == "train/A - x/vocals.wav"
    names = [f"train/A - x/{stem}.wav" for stem in mixing.backing]
    assert list(first.mix.others) == names
    (skipped,) = listing.skipped
    assert skipped.id == "train/B - y.z" and "lacks a stem of 'drums', 'bass'" in skipped.reason
    assert any("mixture.wav" in warning for warning in listing.warnings)


def test_songs_in_no_folder_of_a_split_are_skipped(tmp_path):
    for song in ("train/a", "extra/b"):
        write(tmp_path / f"{song}.voice.wav", noise(1, seed=1))
        write(tmp_path / f"{song}.backing.wav", noise(1, seed=2))
    listing = list_stems(str(tmp_path), MixSettings())
    assert [song.id for song in listing.songs] == ["train/a"]
    assert [song.reason for song in listing.skipped] == [
        "extra/b: is not in any of the split folders"
    ]


def test_mixtures_and_stems_of_other_names_are_not_taken_for_instrumentals(stems, tmp_path):
    folder = shutil.copytree(stems, tmp_path / "stems")
    for name in ("song1.wav", "song1.choir.wav"):
        write(folder / "singers/anna" / name, noise(3, seed=1))
    listing, plain = (list_stems(str(f), MixSettings()) for f in (folder, stems))
    found, expected = ([(song.id, song.mix) for song in each.songs] for each in (listing, plain))
    assert found == expected
    (warning,) = listing.warnings
    assert "song1.wav" in warning and "song1.choir.wav" in warning


def test_labelled_recordings_are_no_backings(stems, lists, tmp_path):
    folder = shutil.copytree(stems, tmp_path / "stems")
    (folder / "instrumental/piece1.lab").write_text("0 1 sing\n")
    listing = list_stems(str(folder), MixSettings(num_remixes=9), split_lists=lists)
    song = next(song for song in listing.songs if song.id == "instrumental/piece1.wav")
    assert song.labels == f"{folder}/instrumental/piece1.lab"
    assert not any("instrumental/piece1.wav" in song.mix.others for song in listing.songs)


@pytest.mark.parametrize(
    "lines, message",
    [
        ("singers/dora\n", r"test:1: 'singers/dora' is neither a song nor a folder with songs"),
        ("singers/bert\n", r"test:1: 'singers/bert' is in 'valid', too"),
    ],
)
def test_lines_of_lists_that_are_refused(stems, lists, lines, message):
    with open(f"{lists}/test", "w") as stream:
        stream.write(lines)
    with pytest.raises(InputError, match=message):
        list_stems(str(stems), MixSettings(), split_lists=lists)


def test_a_folder_without_voices_is_refused(stems):
    with pytest.raises(InputError, match=r"holds no stem 'vocals'.*--positive_stem"):
        list_stems(str(stems), MixSettings(voice="vocals"))


def test_a_split_with_one_backing_cannot_be_remixed(stems, tmp_path):
    for split, line in (("train", "singers/anna"), ("valid", "singers/bert/song1")):
        (tmp_path / split).write_text(line)
    with pytest.raises(InputError, match="--remix: the split 'valid' has no backing for"):
        list_stems(str(stems), MixSettings(num_remixes=1), split_lists=str(tmp_path))
