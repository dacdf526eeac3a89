"""FMA as it comes off the download, with the tracks that its authors know to be without sound."""

import numpy as np
import soundfile

from svdam.data.records import open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.damaged_files import id3v2

# The columns and rows of the published table that matter here, under its three header rows.
TRACKS = """\
,album,album,artist,set,set,track,track,track
,comments,title,name,split,subset,duration,genre_top,title
track_id,,,,,,,,
2,0,"AWOL - A Way Of Life",AWOL,training,small,168,Hip-Hop,Food
10,0,Constant Hitmaker,Kurt Vile,training,small,161,Pop,Freeway
140,1,"On, Opus #1",Nicky Cook,validation,small,253,Pop,"Queen, ""Of"" The Wires"
141,1,Alec,Nicky Cook,test,small,182,Pop,Ohio
98565,0,Sounds,Someone,training,small,5000,Pop,one second
98567,0,Sounds,Someone,training,small,5000,Pop,half a second
99134,0,Tags,Someone,training,small,5000,Pop,no frame
108925,0,Count,Someone,training,small,5000,Pop,a frame that counts none
133297,0,Beyond,Someone,training,small,600,Pop,cut beyond its end
"""


def _clip(path, secs: float) -> bytes:
    time_secs = np.arange(round(44100 * secs))[:, None] / 44100
    sound = 0.3 * np.sin(2 * np.pi * np.array([220, 330]) * time_secs)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, 44100)
    return path.read_bytes()


def test_tracks_without_sound_are_reported_and_the_others_taken(tmp_path, capsys):
    (tmp_path / "fma_metadata").mkdir()
    (tmp_path / "fma_metadata/tracks.csv").write_text(TRACKS, "utf-8")
    audio = tmp_path / "fma_small"
    for number in (2, 10, 141):
        _clip(audio / f"000/{number:06d}.mp3", 3)
    whole = _clip(audio / "098/098565.mp3", 1.6)
    _clip(audio / "098/098567.mp3", 0.5)
    first_frame = whole[: whole.index(whole[:2], 40)]
    for name, content in {
        "099/099134.mp3": id3v2(1500),
        "108/108925.mp3": id3v2(1500) + first_frame,
        "133/133297.mp3": b"",
    }.items():
        (audio / name).parent.mkdir()
        (audio / name).write_bytes(content)
    settings = PrepareSettings(
        output=str(tmp_path / "records"),
        dataset="fma",
        data_dir=str(tmp_path),
        fma_subset="small",
        fma_all_train=True,
        num_workers=1,
    )
    manifest = prepare_data(settings)
    songs = open_records(tmp_path / "records").songs("train")
    assert [song.id for song in songs] == ["000/000010.mp3", "000/000141.mp3"]
    reasons = {song["id"]: song["reason"] for song in manifest["skipped"]}
    for name, expected in {
        "000/000140.mp3": "tracks.csv:6: fma_small/000/000140.mp3 does not exist",
        "098/098565.mp3": "098565.mp3: is too short: 1.60 s give 109 frames, expected at least 115",
        "098/098567.mp3": "098567.mp3: is too short: 0.50 s",
        "099/099134.mp3": "099134.mp3: is not a readable audio file",
        "108/108925.mp3": "108925.mp3: ",
        "133/133297.mp3": "133297.mp3: is empty (0 bytes)",
    }.items():
        assert expected in reasons.pop(name)
    assert not reasons
    assert capsys.readouterr().err.count("skipped: ") == 6
