"""The songs that data sets list: Jamendo's layout, FMA, any folder."""

import unicodedata
from collections import Counter

import pytest

from svdam.core.validation import InputError
from svdam.datasets.fma import list_fma, read_tracks
from svdam.datasets.folder import list_folder, split_by_ratio
from svdam.datasets.jamendo import list_jamendo


def _touch(folder, *names, content=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _jamendo(folder, train=b"a.wav\n"):
    _touch(folder, "audio/a.wav", "audio/b. c.mp3", "labels/a.lab", "labels/b. c.lab")
    _touch(folder, "filelists/train", content=train)
    _touch(folder, "filelists/valid", "filelists/test", content=b"")
    return str(folder)


def test_jamendo_names_and_labels(tmp_path):
    listing = list_jamendo(_jamendo(tmp_path, b"\xef\xbb\xbfa.wav\r\n\r\nb. c.mp3"))
    found = [(song.id, song.split, song.source) for song in listing.songs]
    assert found == [("a.wav", "train", "audio/a.wav"), ("b. c.mp3", "train", "audio/b. c.mp3")]
    assert listing.songs[1].labels == str(tmp_path / "labels/b. c.lab")


def test_jamendo_songs_that_are_missing_are_skipped(tmp_path):
    folder = _jamendo(tmp_path, b"a.wav\nno audio.wav\nno label.wav\na.wav\n")
    _touch(tmp_path, "audio/no label.wav")
    listing = list_jamendo(folder)
    reasons = {song.id: song.reason for song in listing.skipped}
    assert "train:2: audio/no audio.wav does not exist" in reasons["no audio.wav"]
    assert "train:3: labels/no label.lab does not exist" in reasons["no label.wav"]
    assert "train:4: is listed twice" in reasons["a.wav"] and len(listing.songs) == 1


def test_jamendo_finds_accents_in_either_form(tmp_path):
    _jamendo(tmp_path, unicodedata.normalize("NFC", "café.wav").encode())
    name = unicodedata.normalize("NFD", "café")
    _touch(tmp_path, f"audio/{name}.wav", f"labels/{name}.lab")
    assert len(list_jamendo(str(tmp_path)).songs) == 1


def test_jamendo_refuses_a_song_in_two_splits(tmp_path):
    _jamendo(tmp_path)
    _touch(tmp_path, "filelists/test", content=b"a.wav\n")
    with pytest.raises(InputError, match=r"test:1: 'a.wav' is also in .*train:1"):
        list_jamendo(str(tmp_path))


@pytest.mark.parametrize("missing", ["audio", "labels", "filelists", "filelists/valid"])
def test_jamendo_refuses_other_layouts(tmp_path, missing):
    _jamendo(tmp_path / "full")
    (tmp_path / "full" / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=missing):
        list_jamendo(str(tmp_path / "full"))


def test_jamendo_without_any_song(tmp_path):
    with pytest.raises(InputError, match=r"no song found.*gone.wav does not exist"):
        list_jamendo(_jamendo(tmp_path, b"gone.wav\n"))
    with pytest.raises(InputError, match="is not a directory"):
        list_jamendo(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="is not given"):
        list_jamendo(None)


TRACKS = """\
,album,set,set,track,track
,title,split,subset,genre_top,title
track_id,,,,,
2,"A, B",training,small,Pop,"Two
lines, ""quoted"" too"
3,,validation,medium,Pop,x
5,,test,large,Pop,x
7,,training,small,Rock,x
134,,training,large,,x
1000,,training,small,Pop,gone
"""


def _fma(folder, tracks=TRACKS):
    _touch(folder, "fma_metadata/tracks.csv", content=tracks.encode())
    for subset in ("small", "medium", "full"):
        numbers = (2, 3, 5, 7, 134)
        _touch(folder, *(f"fma_{subset}/000/{number:06d}.mp3" for number in numbers))
    return str(folder)


def test_fma_table_is_read_as_published(tmp_path):
    tracks = list(read_tracks(_fma(tmp_path) + "/fma_metadata/tracks.csv"))
    assert [track.number for track in tracks] == [2, 3, 5, 7, 134, 1000]
    assert tracks[0][1:4] == ("Pop", "small", "training") and tracks[4].genre == ""
    assert tracks[1].line == 6  # The first track's title has two lines.


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, {"000/000002.mp3": "train", "000/000003.mp3": "valid", "000/000005.mp3": "test"}),
        ({"subset": "small"}, {"000/000002.mp3": "train"}),
        ({"subset": "medium"}, {"000/000002.mp3": "train", "000/000003.mp3": "valid"}),
        ({"splits": ("test",)}, {"000/000005.mp3": "test"}),
        ({"splits": ("test",), "all_train": True}, {"000/000005.mp3": "train"}),
        ({"genre": "Rock"}, {"000/000007.mp3": "train"}),
    ],
)
def test_fma_choices(tmp_path, options, expected):
    listing = list_fma(_fma(tmp_path), **options)
    assert {song.id: song.split for song in listing.songs} == expected


def test_fma_all_genres_hold_tracks_without_one(tmp_path):
    assert len(list_fma(_fma(tmp_path), genre="all").songs) == 5


def test_fma_tracks_without_file_are_skipped(tmp_path):
    skipped = list_fma(_fma(tmp_path)).skipped
    assert [song.id for song in skipped] == ["001/001000.mp3"]
    assert "tracks.csv:10: fma_full/001/001000.mp3 does not exist" in skipped[0].reason


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("track_id", "id", r"tracks.csv:3: .*third header row"),
        ("genre_top", "genre", r"tracks.csv:1: has no column \(track, genre_top\)"),
        ("Pop", "Folk", r"--fma_genre: found 'Pop', expected 'all' or one of 'Folk', 'Rock'"),
    ],
)
def test_fma_refuses_other_tables(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        list_fma(_fma(tmp_path, TRACKS.replace(old, new)))


@pytest.mark.parametrize(
    "old, new, lost, reason",
    [
        ("3,,validation", "3,,", "000/000003.mp3", "tracks.csv:6: found split '', expected one of"),
        ("5,,test", "5,,holdout", "000/000005.mp3", "tracks.csv:7: found split 'holdout'"),
        ("3,,validation", "three,,test", "tracks.csv:6", "is not a track: found ['three'] and 6"),
        (
            "3,,validation,medium,Pop,x",
            "3,,test",
            "tracks.csv:6",
            "is not a track: found ['3'] and 3",
        ),
        ("3,,validation", "-3,,validation", "tracks.csv:6", "is not a track: found ['-3']"),
    ],
)
def test_fma_rows_that_are_no_tracks_are_skipped_alone(tmp_path, old, new, lost, reason):
    whole = list_fma(_fma(tmp_path / "whole"))
    damaged = list_fma(_fma(tmp_path / "damaged", TRACKS.replace(old, new)))
    assert len(damaged.songs) == len(whole.songs) - 1
    (skipped,) = (song for song in damaged.skipped if song.id != "001/001000.mp3")
    assert skipped.id == lost and reason in skipped.reason


def test_fma_rows_of_other_genres_may_be_what_they_like(tmp_path):
    listing = list_fma(_fma(tmp_path, TRACKS.replace("7,,training", "7,,")))
    assert [song.id for song in listing.skipped] == ["001/001000.mp3"]


def test_fma_without_table_or_audio(tmp_path):
    with pytest.raises(InputError, match=r"tracks.csv: does not exist"):
        list_fma(str(tmp_path))
    with pytest.raises(InputError, match="no song found"):
        list_fma(_fma(tmp_path), subset="large")


def test_folder_by_sub_folders_with_labels_in_all_places(tmp_path):
    _touch(tmp_path, "train/a.wav", "train/a.lab", "valid/x/b.MP3", "labels/valid/x/b.lab")
    _touch(tmp_path, "test/audio/c.flac", "test/labels/c.lab", "test/d.ogg", "other/e.wav")
    _touch(tmp_path, "train/notes.txt", "train/._a.wav")
    listing = list_folder(str(tmp_path))
    root = f"{tmp_path}/"
    labels = {song.id: song.labels and song.labels.removeprefix(root) for song in listing.songs}
    assert labels == {
        "train/a.wav": "train/a.lab",
        "valid/x/b.MP3": "labels/valid/x/b.lab",
        "test/audio/c.flac": "test/labels/c.lab",
        "test/d.ogg": None,
    }
    assert [song.id for song in listing.skipped] == ["other/e.wav"]


def test_folder_names_audio_of_formats_that_are_not_read(tmp_path):
    _touch(tmp_path, "a.wav", "b/c.M4A", "d.wma", "cover.jpg", "._e.m4a")
    listing = list_folder(str(tmp_path))
    assert [song.id for song in listing.songs] == ["a.wav"]
    reasons = {song.id: song.reason for song in listing.skipped}
    assert reasons.keys() == {"b/c.M4A", "d.wma"}
    assert "b/c.M4A: has an unsupported format; convert it" in reasons["b/c.M4A"]
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match=r"no song found: .*c\.M4A: has an unsupported format"):
        list_folder(str(tmp_path))


def test_folder_by_lists(tmp_path):
    _touch(tmp_path / "music", "a.wav", "x/b.wav", "c.wav")
    _touch(tmp_path / "lists", "train.txt", content=b"x/b.wav\nmissing.wav\n")
    _touch(tmp_path / "lists", "test", content=b"a.wav\n")
    listing = list_folder(str(tmp_path / "music"), split_lists=str(tmp_path / "lists"))
    assert {song.id: song.split for song in listing.songs} == {"x/b.wav": "train", "a.wav": "test"}
    assert "train.txt:2: missing.wav does not exist" in listing.skipped[0].reason


def test_folder_by_ratios_keeps_songs_where_they_are(tmp_path):
    _touch(tmp_path, *(f"{number}.wav" for number in range(300)))
    before = {song.id: song.split for song in list_folder(str(tmp_path)).songs}
    _touch(tmp_path, *(f"{number}.wav" for number in range(300, 600)))
    after = {song.id: song.split for song in list_folder(str(tmp_path)).songs}
    assert before.items() <= after.items()
    counts = Counter(after.values())
    # Five standard deviations of a binomial distribution.
    assert abs(counts["train"] - 480) < 50 and abs(counts["valid"] - 60) < 37


def test_folder_ratios_and_seeds():
    names = [f"{number}.wav" for number in range(200)]
    assert {split_by_ratio(name, (0, 1, 0), 0) for name in names} == {"valid"}
    splits = [[split_by_ratio(name, (1, 1, 1), seed) for name in names] for seed in (0, 1)]
    assert splits[0] != splits[1]
    for bad in ((1, 1), (0, 0, 0), (1, -1, 1)):
        with pytest.raises(InputError, match="--split_ratios"):
            split_by_ratio("a", bad, 0)


def test_folder_leaves_out_what_is_hidden(tmp_path):
    _touch(tmp_path, ".git/annex/objects/k.wav/k.wav", ".Trash-1000/files/a.wav", "x/@eaDir/b.wav")
    _touch(tmp_path, "#recycle/c.wav", "$RECYCLE.BIN/d.wav", "x/.ipynb_checkpoints/e.wav")
    _touch(tmp_path, "__MACOSX/._f.wav", ".old take.wav", "._x.wav", ".DS_Store")
    _touch(tmp_path, "x/@home.wav", "x/...and you.wav.mp3", "y/@artist/g.wav")
    (tmp_path / "annexed.wav").symlink_to(".git/annex/objects/k.wav/k.wav")
    (tmp_path / "x/...and you.wav.mp3").rename(tmp_path / "x/and you.mp3")
    listing = list_folder(str(tmp_path))
    found = [song.id for song in listing.songs]
    assert found == ["annexed.wav", "x/@home.wav", "x/and you.mp3", "y/@artist/g.wav"]
    (warning,) = listing.warnings
    assert warning == (
        "ignoring hidden files and folders: '#recycle', '$RECYCLE.BIN', '.Trash-1000', '.git', "
        "'.old take.wav', '__MACOSX' and 2 more"
    )
    hidden = tmp_path / ".git/annex"  # Named by the user, it is not hidden.
    assert [song.id for song in list_folder(str(hidden)).songs] == ["objects/k.wav/k.wav"]


def test_folder_with_hidden_audio_only(tmp_path):
    _touch(tmp_path, ".stversions/a.wav", "cover.jpg")
    with pytest.raises(InputError, match=r"holds no audio .*; ignoring hidden .*: '\.stversions'"):
        list_folder(str(tmp_path))


STEMS = {
    "MUSDB18-HQ": (
        {"train/A - B": ["mixture", "vocals", "drums", "bass", "other"]},
        ["train/A - B/mixture.wav"],
        "the stems of songs are left out: 'train/A - B/bass.wav', 'train/A - B/drums.wav' and 2 "
        "more; as songs, 'train/A - B/mixture.wav' are taken",
    ),
    "DSD100": (
        {"Mixtures/A": ["mixture"], "Sources/A": ["vocals", "drums", "bass", "other"]},
        ["Mixtures/A/mixture.wav"],
        "no mixture next to them is taken",
    ),
    "separated in two": (
        {"": ["song"], "out/song": ["vocals", "accompaniment"]},
        ["song.wav"],
        "left out: 'out/song/accompaniment.wav', 'out/song/vocals.wav'; no mixture",
    ),
    "upper case": ({"x": ["Mix", "Vocals", "Bass"]}, ["x/Mix.wav"], "'x/Mix.wav' are taken"),
    "no stems": (
        {"x": ["vocals", "drumsolo"], "y": ["bass", "drums"], "z": ["mixture"]},
        ["x/drumsolo.wav", "x/vocals.wav", "y/bass.wav", "y/drums.wav", "z/mixture.wav"],
        None,
    ),
}


@pytest.mark.parametrize(("folders", "songs", "warning"), STEMS.values(), ids=STEMS)
def test_folder_takes_songs_and_not_their_stems(tmp_path, folders, songs, warning):
    for folder, names in folders.items():
        _touch(tmp_path, *(f"{folder}/{name}.wav".lstrip("/") for name in names))
    listing = list_folder(str(tmp_path), split_by="ratios")
    assert [song.id for song in listing.songs] == songs
    assert len(listing.warnings) == (warning is not None)
    assert warning is None or warning in listing.warnings[0]


def test_folder_of_stems_alone(tmp_path):
    _touch(tmp_path, "a/vocals.wav", "a/drums.wav")
    with pytest.raises(InputError, match=r"no song found: .*the stems of songs are left out"):
        list_folder(str(tmp_path))


UNUSED = {
    "labels in another layout": ("times/a.lab", b"0 1 sing", "'times/a.lab'; those of"),
    "upper case": ("audio/a.LAB", b"0 1 sing", "'audio/a.LAB'; those of"),
    "another name": ("audio/a_vocals.lab", b"0 1 sing", "'audio/a_vocals.lab'"),
    "our lines as text": ("audio/a.txt", b"0 1 sing", "as in .lab files: rename it"),
    "audacity elsewhere": ("times/a.txt", b"0.0\t1.0\tVerse 1\n", "'times/a.txt'; those of"),
    "blanks for tabs": ("audio/a.txt", b"0 1 Verse\n", "'audio/a.txt' (times in seconds, but not"),
    "a table elsewhere": ("a.csv", b"start,end,label\n0,1,x\n", "'a.csv'; those of"),
    "no names of columns": ("audio/a.csv", b"0,1,x\n", "'audio/a.csv' (times in seconds, but no f"),
    "jams elsewhere": ("times/a.jams", b"{}", "'times/a.jams'; those of"),
    "praat": ("audio/a.TextGrid", b"", "'audio/a.TextGrid' (.TextGrid is not read)"),
}


@pytest.mark.parametrize(("name", "content", "words"), UNUSED.values(), ids=UNUSED)
@pytest.mark.parametrize("by_lists", [False, True])
def test_folder_names_labels_that_no_song_uses(tmp_path, name, content, words, by_lists):
    music, lists = tmp_path / "music", tmp_path / "lists"
    _touch(music, "audio/a.wav", "audio/b.wav", "audio/b.lab", "audio/cover.txt", "notes.csv")
    _touch(music, name, content=content)
    _touch(lists, "train", content=b"audio/a.wav\naudio/b.wav\n")
    listing = list_folder(str(music), split_lists=str(lists) if by_lists else None)
    if by_lists and "_vocals" in name:
        assert not listing.warnings  # The folder may hold more than the lists name.
        return
    (warning,) = listing.warnings
    assert warning.startswith("some files that look like labels do not belong to any song: ")
    assert words in warning
    assert "those of 'audio/a.wav' may be 'audio/a.lab' or 'labels/audio/a.lab' or" in warning


def test_folder_with_all_labels_in_place_needs_no_word(tmp_path):
    _touch(tmp_path, "a.wav", "a.lab", "b.wav", "labels/b.lab", "a.jams", "readme.txt")
    _touch(tmp_path, "b.txt", content=b"0 1 sing")
    assert list_folder(str(tmp_path)).warnings == []
    _touch(tmp_path, "c.lab")
    assert "do not belong to any song: 'c.lab'" in list_folder(str(tmp_path)).warnings[0]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["test/a.wav", "test/x/b.wav"], {"test"}),
        (["valid/a.wav", "test/b.wav"], {"valid", "test"}),
        (["train/a.wav"], {"train"}),
    ],
)
def test_folder_with_some_of_the_splits(tmp_path, names, splits):
    _touch(tmp_path, *names)
    listing = list_folder(str(tmp_path))
    assert {song.split for song in listing.songs} == splits and len(listing.songs) == len(names)
    _touch(tmp_path / "lists", f"{min(splits)}.txt", content="\n".join(names).encode())
    listed = list_folder(str(tmp_path), split_lists=str(tmp_path / "lists"))
    assert {song.split for song in listed.songs} == {min(splits)}


def test_folder_with_a_test_among_others_is_split_by_ratios(tmp_path):
    _touch(tmp_path, "test/a.wav", *(f"album/{number}.wav" for number in range(40)))
    listing = list_folder(str(tmp_path))
    assert len(listing.songs) == 41 and not listing.skipped


def test_folder_without_audio_or_lists(tmp_path):
    _touch(tmp_path, "notes.txt")
    with pytest.raises(InputError, match="holds no audio"):
        list_folder(str(tmp_path))
    with pytest.raises(InputError, match="--split_lists: is not given"):
        list_folder(str(tmp_path), split_by="lists")
    with pytest.raises(InputError, match="holds none of the lists 'train', 'valid' and 'test'"):
        list_folder(str(tmp_path), split_lists=str(tmp_path))
