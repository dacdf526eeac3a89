"""Preparing data: bad songs, reruns, crashes, numbers of workers, objects stores."""

import contextlib
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from svdam.audio.decoding import load_audio
from svdam.audio.log_mel import log_mel_spectrogram
from svdam.core.validation import InputError
from svdam.data import pipeline
from svdam.data.records import open_records
from svdam.stages import prepare_data as preparation
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.small_corpora import SPLITS, add_song, write_jamendo, write_tone

ROOT = Path(__file__).resolve().parents[2]


def _settings(corpus, output, **options):
    return PrepareSettings(
        output=str(output), dataset="jamendo", data_dir=str(corpus), shard_megabytes=0.1, **options
    )


def _content(folder) -> dict[str, bytes]:
    names = [path for path in Path(folder).iterdir() if path.suffix in (".tfrecord", ".json")]
    ours = {"config.json", "complete.json", "audio_checksums.json"}
    return {path.name: path.read_bytes() for path in names if path.name not in ours}


@pytest.fixture
def decoded(monkeypatch):
    """Collects the names of the songs that are decoded."""
    names = []
    run_songs = pipeline.run_songs

    def spy(songs, *arguments):
        names.extend(song.id for song in songs)
        run_songs(songs, *arguments)

    monkeypatch.setattr(preparation, "run_songs", spy)
    return names


def test_the_result_does_not_depend_on_the_number_of_workers(corpus, records_folder, tmp_path):
    for num_workers in (1, 3):
        output = tmp_path / str(num_workers)
        prepare_data(_settings(corpus, output, num_workers=num_workers))
        assert _content(output) == _content(records_folder)
        left = {path.name for path in output.iterdir()} - {
            path.name for path in records_folder.iterdir()
        }
        assert not left


def test_running_again_decodes_nothing(corpus, records_folder, tmp_path, decoded):
    output = shutil.copytree(records_folder, tmp_path / "copy")
    times = {path: path.stat().st_mtime_ns for path in output.glob("*.tfrecord")}
    prepare_data(_settings(corpus, output))
    assert decoded == [] and _content(output) == _content(records_folder)
    assert times == {path: path.stat().st_mtime_ns for path in output.glob("*.tfrecord")}


def test_only_new_changed_and_relabelled_songs_are_decoded(tmp_path, decoded):
    names = {split: list(songs) for split, songs in SPLITS.items()}
    corpus = write_jamendo(tmp_path / "corpus", names)
    output = tmp_path / "records"
    prepare_data(_settings(corpus, output))
    assert len(decoded) == 6
    decoded.clear()
    add_song(corpus, "new.wav", 2.2, 9)
    (corpus / "filelists/train").write_text("\n".join([*names["train"], "new.wav"]), "utf-8")
    (corpus / "filelists/valid").write_text("f.wav\n")  # Moved there from the test songs.
    (corpus / "filelists/test").write_text("")
    write_tone(corpus / "audio/a song.wav", 2.4, 7)
    (corpus / "labels/d.lab").write_text("0 1 sing\n")
    manifest = prepare_data(_settings(corpus, output))
    assert sorted(decoded) == ["a song.wav", "d.flac", "new.wav"]
    fresh = tmp_path / "fresh"
    prepare_data(_settings(corpus, fresh))
    assert _content(output) == _content(fresh)
    assert [song["id"] for song in manifest["songs"] if song["split"] == "valid"] == ["f.wav"]


def test_damaged_shards_are_mended(corpus, records_folder, tmp_path, decoded, capsys):
    output = shutil.copytree(records_folder, tmp_path / "copy")
    records = open_records(output)
    changed, cut = (output / records.songs(split)[0].shard for split in ("train", "test"))
    content = bytearray(changed.read_bytes())
    content[records.songs("train")[0].offset] ^= 1
    changed.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-100])
    prepare_data(_settings(corpus, output))
    assert sorted(decoded) == ["a song.wav", "f.wav"]
    assert _content(output) == _content(records_folder)
    assert f"warning: {cut}: is truncated" in capsys.readouterr().err


def test_records_of_another_front_end(corpus, odd_records_folder, odd):
    records = open_records(odd_records_folder)
    assert records.front_end == odd
    for song in records.songs():
        samples = load_audio(corpus / "audio" / song.source.split("/")[-1], 11025)
        expected = log_mel_spectrogram(samples, odd)
        np.testing.assert_array_equal(records.log_mel(song), expected)
        times_secs = np.arange(len(expected)) * 220 / 11025  # Frames are centred there.
        np.testing.assert_array_equal(records.labels(song), times_secs >= 0.5)
    train = np.concatenate([records.log_mel(song) for song in records.songs("train")])
    np.testing.assert_allclose(records.mean, train.mean(0), rtol=1e-5)


def test_records_keep_their_front_end(corpus, tmp_path, odd_file, decoded):
    output = tmp_path / "records"
    prepare_data(_settings(corpus, output, front_end="yamnet"))
    before = _content(output)
    message = "holds a run with front_end='yamnet', now it is 'vggish'; choose another --output"
    with pytest.raises(InputError, match=message):
        prepare_data(_settings(corpus, output, front_end="vggish"))
    decoded.clear()
    prepare_data(_settings(corpus, output, front_end="yamnet"))
    assert decoded == [] and _content(output) == before
    own = tmp_path / "own.json"
    shutil.copy(odd_file, own)
    prepare_data(_settings(corpus, tmp_path / "odd", front_end=str(own)))
    own.write_text(own.read_text().replace("5000", "5100"))
    with pytest.raises(InputError, match=r"with front_end_fields=.*5000.*now .*5100"):
        prepare_data(_settings(corpus, tmp_path / "odd", front_end=str(own)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mfcc", "--front_end: found 'mfcc', expected 'ismir2015', 'musicnn'.* or a .json file"),
        ("none.json", "--front_end: none.json: cannot be read"),
    ],
)
def test_front_ends_that_do_not_exist_are_refused(corpus, tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        prepare_data(_settings(corpus, tmp_path / "records", front_end=name))
    assert not (tmp_path / "records").exists()


def test_a_crash_while_shards_are_put_in_place_loses_nothing(
    corpus, records_folder, tmp_path, decoded, monkeypatch
):
    renames = []
    rename = preparation.storage.rename

    def failing(source, target):
        renames.append(target)
        if len(renames) == 4:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(preparation.storage, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare_data(_settings(corpus, tmp_path / "records"))
    monkeypatch.undo()
    decoded.clear()
    with pytest.raises(InputError, match="is incomplete; resume it with"):
        open_records(tmp_path / "records")
    monkeypatch.setattr(preparation, "run_songs", lambda songs, *_: decoded.extend(songs))
    prepare_data(_settings(corpus, tmp_path / "records"))
    assert decoded == [] and _content(tmp_path / "records") == _content(records_folder)


def _damaged_corpus(folder) -> Path:
    """One good song, and one of each kind of bad one."""
    corpus = write_jamendo(folder, {"train": ["good.wav"], "valid": [], "test": []})
    bad = [
        "empty.wav",
        "text.mp3",
        "cut.flac",
        "short.wav",
        "badlabel.wav",
        "nolabel.wav",
        "gone.wav",
    ]
    for name in bad:
        add_song(corpus, name, 2.5, 3)
    audio, labels = corpus / "audio", corpus / "labels"
    (audio / "empty.wav").write_bytes(b"")
    (audio / "text.mp3").write_text("this is no audio " * 99)
    (audio / "cut.flac").write_bytes((audio / "cut.flac").read_bytes()[:-60000])
    write_tone(audio / "short.wav", 1.6)
    (labels / "badlabel.lab").write_text("0 1 sing\n1 2 humming\n")
    (labels / "nolabel.lab").unlink()
    (audio / "gone.wav").unlink()
    (corpus / "filelists/train").write_text("\n".join(["good.wav", *bad]), "utf-8")
    return corpus


def test_bad_songs_are_skipped_with_a_reason_each(tmp_path, capsys):
    corpus = _damaged_corpus(tmp_path / "corpus")
    manifest = prepare_data(_settings(corpus, tmp_path / "records"))
    assert [song["id"] for song in manifest["songs"]] == ["good.wav"]
    reasons = {song["id"]: song["reason"] for song in manifest["skipped"]}
    for name, expected in {
        "empty.wav": "empty.wav: is empty",
        "text.mp3": "text.mp3: ",
        "cut.flac": "cut.flac: ",
        "short.wav": "short.wav: is too short: 1.60 s give 109 frames, expected at least 115",
        "badlabel.wav": "badlabel.lab:2: found label 'humming'",
        "nolabel.wav": "labels/nolabel.lab does not exist",
        "gone.wav": "audio/gone.wav does not exist",
    }.items():
        assert expected in reasons.pop(name)
    assert not reasons
    shown = capsys.readouterr().err
    assert shown.count("skipped: ") == 7 and "warning: no song in the split 'valid'" in shown


def test_file_names_that_are_no_unicode(tmp_path):
    """As from an old disk: Latin-1 bytes in names, of a good song and of a bad one."""
    folder = tmp_path / "music"
    write_tone(folder / "a.wav")
    os.rename(folder / "a.wav", os.fsencode(folder) + b"/caf\xe9.wav")
    Path(os.fsdecode(os.fsencode(folder) + b"/cass\xe9.wav")).touch()
    settings = PrepareSettings(
        output=str(tmp_path / "run"),
        dataset="folder",
        data_dir=str(folder),
        split_ratios=(1, 0, 0),
        num_workers=1,
    )
    for _ in range(2):
        manifest = prepare_data(settings)
        assert [song["id"] for song in manifest["songs"]] == ["caf\\xe9.wav"]
        (skipped,) = manifest["skipped"]
        assert skipped["id"] == "cass\\xe9.wav" and "cass\\xe9.wav: is empty" in skipped["reason"]


def test_strict_makes_a_bad_song_an_error(tmp_path):
    corpus = _damaged_corpus(tmp_path / "corpus")
    with pytest.raises(InputError, match="--strict: 7 of 8 songs cannot be used; the first: "):
        prepare_data(_settings(corpus, tmp_path / "records", strict=True))
    assert not (tmp_path / "records/manifest.json").exists()


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_data_set_need_not_have_training_songs(tmp_path, split, capsys):
    splits = {name: ["a.wav", "b.wav"] if name == split else [] for name in SPLITS}
    corpus = write_jamendo(tmp_path / "corpus", splits)
    manifest = prepare_data(_settings(corpus, tmp_path / "records"))
    assert manifest["mean"] is None and manifest["counts"][split]["labelled_songs"] == 2
    assert "warning: no song in the split 'train'" in capsys.readouterr().err
    records = open_records(tmp_path / "records")
    assert len(records.songs(split)) == 2 and records.songs("train") == []
    for read in (lambda: records.mean, lambda: records.std):
        with pytest.raises(InputError, match="holds no song of the split 'train', so there are no"):
            read()
    before = _content(tmp_path / "records")
    prepare_data(_settings(corpus, tmp_path / "records"))
    assert _content(tmp_path / "records") == before


def test_the_same_recording_in_two_splits_is_told(tmp_path, capsys):
    """Whatever its name, its format and its tags are."""
    corpus = write_jamendo(
        tmp_path / "corpus", {"train": ["a.wav", "b.wav"], "valid": ["c.wav"], "test": ["d.flac"]}
    )
    prepare_data(_settings(corpus, tmp_path / "1"))
    assert "the same recording" not in capsys.readouterr().err
    sound, rate = soundfile.read(corpus / "audio/a.wav", dtype="int16")
    soundfile.write(corpus / "audio/d.flac", sound, rate)
    whole = (corpus / "audio/a.wav").read_bytes()
    (corpus / "audio/b.wav").write_bytes(whole)
    (corpus / "audio/c.wav").write_bytes(whole + b"LIST\4\0\0\0INFO")
    prepare_data(_settings(corpus, tmp_path / "2"))
    shown = capsys.readouterr().err
    assert "warning: the same recording is in several splits, so scores will be too good: " in shown
    assert "'a.wav (train) and c.wav (valid)', 'a.wav (train) and d.flac (test)'\n" in shown


def test_warnings_of_a_listing_are_shown_last(tmp_path, capsys):
    write_tone(tmp_path / "music/train/a.wav")
    (tmp_path / "music/labels").mkdir()
    (tmp_path / "music/labels/a.lab").write_text("0 1 sing\n")
    settings = {"dataset": "folder", "data_dir": str(tmp_path / "music")}
    prepare_data(PrepareSettings(output=str(tmp_path / "records"), **settings))
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "warning: some files that look like labels do not belong to any song: 'labels/a.lab'"
    )


def test_no_song_to_train_on_is_an_error(tmp_path):
    corpus = write_jamendo(
        tmp_path / "corpus", {"train": ["a.wav"], "valid": ["b.wav"], "test": []}
    )
    (corpus / "audio/a.wav").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no song for the split 'train'.*a.wav"):
        prepare_data(_settings(corpus, tmp_path / "records"))
    for split in ("train", "valid"):
        (corpus / "filelists" / split).write_text("")
    (corpus / "filelists/test").write_text("a.wav\n")
    with pytest.raises(InputError, match=r"no song can be used \(of 1 songs listed\).*a.wav"):
        prepare_data(_settings(corpus, tmp_path / "records"))


def test_other_settings_need_another_folder(corpus, records_folder):
    with pytest.raises(InputError, match="holds a run with dtype='float32', now it is 'float16'"):
        prepare_data(_settings(corpus, records_folder, dtype="float16"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dataset": "fma"}, "--data_dir: is not given, --dataset=fma needs it"),
        ({"output": "s3://bucket/x"}, "--output: found 's3://bucket/x', expected a local folder"),
        ({"dataset": "mp3"}, "--dataset: found 'mp3'"),
        ({"shard_megabytes": 0}, "--shard_megabytes: found 0"),
        ({"fma_splits": ("train",)}, "--fma_splits: found 'train'"),
    ],
)
def test_flags_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        PrepareSettings(**options)


def test_folders_without_labels_and_storage_elsewhere(tmp_path):
    for number in range(3):
        write_tone(
            tmp_path / f"music/{('train', 'valid', 'test')[number]}/{number}.wav", seed=number
        )
    settings = PrepareSettings(
        output=str(tmp_path / "run"),
        dataset="folder",
        data_dir=str(tmp_path / "music"),
        storage=str(tmp_path / "big"),
    )
    prepare_data(settings)
    assert not list((tmp_path / "run").glob("*.tfrecord"))
    by_run, by_storage = open_records(tmp_path / "run"), open_records(tmp_path / "big")
    assert by_run.fingerprint == by_storage.fingerprint
    song = by_run.songs("train")[0]
    assert song.id == "train/0.wav" and not song.has_labels and by_run.labels(song) is None
    np.testing.assert_array_equal(by_run.log_mel(song), by_storage.log_mel(song))


def _command(*arguments):
    return [sys.executable, "-m", "svdam.prepare_data", *map(str, arguments)]


def test_command_reports_and_writes_summaries(corpus, tmp_path):
    flags = ["--dataset=jamendo", f"--data_dir={corpus}", f"--output={tmp_path}/run"]
    done = subprocess.run(_command(*flags), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train: 4 songs, 4 of them labelled" in done.stdout
    assert f"tensorboard --logdir {tmp_path}/run --host localhost" in done.stdout
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))
    failed = subprocess.run(
        _command("--dataset=jamendo", f"--data_dir={tmp_path}/none", f"--output={tmp_path}/x"),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("error: --data_dir: ")


@contextlib.contextmanager
def _workers(pid: int):
    """Descriptors of a process's children, which are readable once these have ended."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    with contextlib.ExitStack() as stack:
        descriptors = [os.pidfd_open(int(child)) for child in children]
        for one in descriptors:
            stack.callback(os.close, one)
        yield descriptors


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_where_it_was(tmp_path, how, decoded):
    names = [f"{number}.wav" for number in range(40)]
    corpus = write_jamendo(tmp_path / "corpus", {"train": names, "valid": [], "test": []})
    output = tmp_path / "run"
    process = subprocess.Popen(
        _command(
            "--dataset=jamendo", f"--data_dir={corpus}", f"--output={output}", "--num_workers=1"
        ),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 200
    while len(list(output.glob("unfinished/song-*.tfrecord"))) < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    with _workers(process.pid) as workers:
        os.kill(process.pid, how)
        errors = process.communicate(timeout=90)[1]
        for worker in workers:  # One may be about to finish a song.
            assert select.select([worker], [], [], 60)[0]
    if how == signal.SIGINT:
        assert process.returncode == 130 and "Traceback" not in errors, errors
    finished = len(list(output.glob("unfinished/song-*.tfrecord")))
    assert finished < 40
    prepare_data(PrepareSettings(output=str(output), dataset="jamendo", data_dir=str(corpus)))
    assert len(decoded) == 40 - finished
    assert (
        json.loads((output / "manifest.json").read_text("utf-8"))["counts"]["train"]["songs"] == 40
    )


@pytest.mark.parametrize(
    "runner, options",
    [
        ("DirectRunner", ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]),
        ("PortableRunner", ["--job_endpoint=embed", "--environment_type=LOOPBACK"]),
    ],
)
def test_other_beam_runners_give_the_same_records(
    corpus, records_folder, tmp_path, runner, options
):
    """Workers that share nothing with this process but the files; a job server that sends names."""
    output = tmp_path / "records"
    settings = _settings(corpus, output, beam_runner=runner, beam_options=tuple(options))
    prepare_data(dataclasses.replace(settings, num_workers=1))
    assert _content(output) == _content(records_folder)
