"""collect_responses on songs in memory, compared with NumPy; stopped, resumed, and on Beam."""

import csv
import dataclasses
import functools
import math

import keras
import numpy as np
import pytest

from svdam.core.config import FrontEnd
from svdam.core.runs import start_run
from svdam.core.validation import InputError
from svdam.results.responses import read_responses, write_responses
from svdam.stages import response_parts
from svdam.stages.collect_responses import ResponseSettings, measured_responses
from svdam.stages.response_parts import PartWorker, plan_parts, planned_parts, remove_parts

FRONT_END = FrontEnd(num_mels=4, excerpt_frames=6)
FRAMES = [20, 3, 47, 6, 33, 5]  # The second and the last are too short for an excerpt.
SPACING = 5


@dataclasses.dataclass
class Song:
    id: str
    num_frames: int


class Songs:
    """Records in memory."""

    front_end = FRONT_END
    folder = "in memory"

    def __init__(self):
        rng = np.random.default_rng(5)
        self._songs = [Song(f"song {i}", frames) for i, frames in enumerate(FRAMES)]
        self._log_mels = {
            song.id: rng.normal(size=(song.num_frames, 4)).astype(np.float32)
            for song in self._songs
        }

    def songs(self, split=None):
        assert split == "train"
        return self._songs

    def log_mel(self, song):
        return self._log_mels[song.id]


def dense_classifier(**options):
    """A logit that is a known linear function of the excerpt."""
    layers = [keras.Input((6, 4, 1)), keras.layers.Flatten(name="flat")]
    model = keras.Sequential([*layers, keras.layers.Dense(1, name="logit", **options)])
    weights = np.random.default_rng(6).normal(size=(24, 1)).astype(np.float32)
    model.set_weights([weights, np.array([0.25], np.float32)])
    return model


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(
        response_parts, "plan_parts", functools.partial(plan_parts, part_excerpts=4)
    )


@pytest.fixture(autouse=True)
def classifier(tmp_path, monkeypatch):
    """The classifier is read from a file; a Beam worker opens records of its own."""
    monkeypatch.setattr(response_parts, "open_records", lambda folder: Songs())
    dense_classifier().save(tmp_path / "dense.keras")
    return tmp_path / "dense.keras"


def settings(classifier, **options):
    values = dict(excerpt_spacing=SPACING, top_n=3, batch_size=4) | options
    return ResponseSettings(classifier=str(classifier), **values)


def collect(folder, classifier, **options):
    asked = settings(classifier, **options)
    records = Songs()
    parts = planned_parts(records, asked.split, asked.excerpt_spacing, asked.top_n)
    with start_run(folder, "collect_responses", asked) as run:
        return measured_responses(records, parts, asked, run), run


def expected_rows():
    """(logit, song, first frame, excerpt) of every excerpt, by NumPy."""
    songs, weights = Songs(), dense_classifier().get_weights()[0]
    return [
        (float(excerpt.ravel() @ weights[:, 0] + 0.25), index, start, excerpt)
        for index, song in enumerate(songs.songs("train"))
        for start in range(0, song.num_frames - 5, SPACING)
        for excerpt in [songs.log_mel(song)[start : start + 6]]
    ]


def test_responses_and_extremes_are_those_of_numpy(tmp_path, classifier):
    real, _ = collect(tmp_path / "run", classifier)
    rows = expected_rows()
    np.testing.assert_allclose(real.responses, [row[0] for row in rows], rtol=1e-5)
    assert real.song.tolist() == [row[1] for row in rows]
    assert real.first_frame.tolist() == [row[2] for row in rows]
    ordered = sorted(rows, key=lambda row: row[0])
    for top, expected in ((real.highest, ordered[:-4:-1]), (real.lowest, ordered[:3])):
        np.testing.assert_allclose(top.responses, [row[0] for row in expected], rtol=1e-5)
        np.testing.assert_array_equal(top.excerpts, [row[3] for row in expected])
        assert top.song.tolist() == [row[1] for row in expected]
        np.testing.assert_allclose(top.probabilities, 1 / (1 + np.exp(-top.responses)), rtol=1e-5)


def test_extremes_are_a_table_too(tmp_path, classifier):
    real, run = collect(tmp_path / "run", classifier)
    write_responses(run.folder, real)
    with (run.folder / "extremes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["set"], row["rank"]) for row in rows] == [
        (name, str(rank)) for name in ("highest", "lowest") for rank in (1, 2, 3)
    ]
    ordered = sorted(expected_rows(), key=lambda row: row[0])
    for row, (logit, song, start, _) in zip(rows, ordered[:-4:-1] + ordered[:3], strict=True):
        assert float(row["response"]) == pytest.approx(logit, rel=1e-5)
        assert row["song"] == f"song {song}"
        assert float(row["start_secs"]) == pytest.approx(start * 315 / 22050, abs=6e-4)
        probability = 1 / (1 + math.exp(-logit))
        assert float(row["probability"]) == pytest.approx(probability, rel=1e-5)


def test_plan_holds_every_song_once_and_does_not_end_with_a_song_that_has_no_excerpt():
    parts = plan_parts(FRAMES, 6, SPACING, part_excerpts=4)
    assert [(part.first, part.stop, part.num_excerpts) for part in parts] == [
        (0, 3, 3 + 9), (3, 5, 1 + 6), (5, 6, 0),
    ]  # fmt: skip


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bits(
    tmp_path, monkeypatch, classifier
):
    whole, _ = collect(tmp_path / "whole", classifier)
    process, measured = PartWorker.process, []

    def killed(self, part, *others):
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(part.number)
        process(self, part, *others)

    monkeypatch.setattr(PartWorker, "process", killed)
    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path / "run", classifier)
    [kept] = (tmp_path / "run/parts").iterdir()
    before = kept.stat().st_mtime_ns
    monkeypatch.setattr(PartWorker, "process", process)
    again, run = collect(tmp_path / "run", classifier)
    assert kept.stat().st_mtime_ns == before
    assert_same(again, whole)
    remove_parts(run)
    assert not kept.parent.exists()


def test_beam_gives_the_same_bits_as_this_process(tmp_path, classifier):
    pytest.importorskip("apache_beam")
    whole, _ = collect(tmp_path / "whole", classifier)
    on_beam, _ = collect(tmp_path / "beam", classifier, beam_runner="DirectRunner")
    assert_same(on_beam, whole)
    with pytest.raises(InputError, match="--beam_runner=NoSuchRunner"):
        collect(tmp_path / "other", classifier, beam_runner="NoSuchRunner")


def assert_same(found, expected):
    for name in ("responses", "song", "first_frame"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("highest", "lowest"):
        pairs = zip(
            dataclasses.astuple(getattr(found, name)),
            dataclasses.astuple(getattr(expected, name)),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)


def test_any_response_of_any_classifier(tmp_path):
    def two_outputs():
        inputs = keras.Input((6, 4, 1))
        flat = keras.layers.Flatten(name="flat")(inputs)
        return keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="out")(flat))

    keras.utils.set_random_seed(1)
    model, path = two_outputs(), tmp_path / "two.keras"
    model.save(path)
    real, run = collect(tmp_path / "sum", path, response="flat:7 - 0.5 * out:1")
    top, softmax = real.highest, model.predict(real.highest.excerpts, verbose=0)
    # The mean of one unit of a flat layer is the unit.
    np.testing.assert_allclose(
        top.responses, top.excerpts.reshape(3, -1)[:, 7] - 0.5 * softmax[:, 1], rtol=1e-5
    )
    assert len(real.responses) == len(expected_rows())
    # A sum has no probability, anywhere.
    assert top.probabilities is None
    with start_run(run.folder, "collect_responses", settings(path, response=real.response)) as run:
        write_responses(run.folder, real)
        run.mark_complete()
    assert read_responses(run.folder).lowest.probabilities is None
    assert "probability" not in (run.folder / "extremes.csv").read_text()
    # A unit of the softmax is its own.
    real, _ = collect(tmp_path / "unit", path, response="out:0")
    np.testing.assert_array_equal(real.highest.probabilities, real.highest.responses)


def test_too_few_excerpts(tmp_path, classifier):
    with pytest.raises(InputError, match=r"--top_n: 50 excerpts .* contain 19"):
        collect(tmp_path / "run", classifier, top_n=50)
    assert not (tmp_path / "run").exists()


def test_response_that_is_not_finite_names_its_place(tmp_path):
    model = dense_classifier()
    model.set_weights([np.full((24, 1), np.nan, np.float32), np.zeros(1, np.float32)])
    model.save(tmp_path / "broken.keras")
    with pytest.raises(InputError, match="song 0, frame 0 is not finite"):
        collect(tmp_path / "run", tmp_path / "broken.keras")


def test_a_damaged_part_is_measured_again(tmp_path, classifier):
    expected, _ = collect(tmp_path / "whole", classifier)
    with start_run(tmp_path / "run", "collect_responses", settings(classifier)) as run:
        (run.folder / "parts").mkdir()
        (run.folder / "parts/00000.npz").write_bytes(b"no zip")
    with pytest.warns(UserWarning, match=r"00000.npz: .* it is computed again"):
        found, _ = collect(tmp_path / "run", classifier)
    np.testing.assert_array_equal(found.responses, expected.responses)
