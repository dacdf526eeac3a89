"""Sounds and responses at the edges: defined results or a clear refusal, never NaN."""

import warnings

import numpy as np
import pytest
import soundfile

from svdam.audio.decoding import load_audio
from svdam.audio.inversion import log_mels_to_audio, round_trip_error_db
from svdam.audio.log_mel import log_mel_spectrogram
from svdam.core.config import FRONT_END
from svdam.core.images import log_mel_image
from svdam.core.runs import start_run
from svdam.core.validation import InputError
from svdam.data.augmentation import SpectralAugmentation, spline_coefficients
from svdam.data.records import open_records
from svdam.evaluation.concept import compare_sets, measure_excerpts
from svdam.evaluation.detection import evaluate
from svdam.evaluation.frechet import frechet_distance, frechet_distance_of_samples
from svdam.evaluation.ranking import Configuration, rank_configurations, rank_correlation
from svdam.report.figures import kernel_density
from svdam.stages.prepare_data import PrepareSettings, prepare_data

COUNT = 55_000  # Samples: two and a half seconds.


def sounds():
    rng = np.random.RandomState(0)
    click = np.zeros(COUNT)
    click[COUNT // 2] = 1
    return {
        "silence": np.zeros(COUNT),
        "full_scale": np.where(np.arange(COUNT) // 50 % 2, 1.0, -1.0),
        "direct_current": np.full(COUNT, 0.5),
        "click": click,
        "constant_excerpts": np.tile(rng.normal(size=FRONT_END.hop_length) * 0.1, 200)[:COUNT],
        "smallest_step": np.where(np.arange(COUNT) % 2, 1 / 32768, 0),
    }


@pytest.fixture(autouse=True)
def no_arithmetic_warnings():
    """Nothing divides by zero or makes a NaN on its way."""
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize("name", sounds())
def test_sounds_through_the_front_end_and_back(tmp_path, name):
    samples = sounds()[name]
    soundfile.write(tmp_path / "a.wav", samples, 22050, "PCM_16")
    log_mel = log_mel_spectrogram(load_audio(tmp_path / "a.wav"))
    assert np.isfinite(log_mel).all() and log_mel.min() >= np.float32(FRONT_END.silence)
    if name == "silence":
        assert (log_mel == np.float32(FRONT_END.silence)).all()
    excerpt = log_mel[None, : FRONT_END.excerpt_frames]
    sound = log_mels_to_audio(excerpt, 3)
    assert np.isfinite(sound).all() and np.abs(sound).max() <= 1
    error = round_trip_error_db(excerpt[0], sound[0])
    assert np.isfinite(error) and error >= 0
    assert log_mel_image(excerpt).dtype == np.uint8
    assert all(np.isfinite(values).all() for values in measure_excerpts(excerpt).values())


@pytest.mark.parametrize("name", sounds())
def test_sounds_through_augmentation(name):
    from svdam.audio.log_mel import magnitude_spectrogram

    augmentation = SpectralAugmentation(FRONT_END)
    spectrum = magnitude_spectrogram(sounds()[name].astype(np.float32))
    assert len(spectrum) >= augmentation.num_frames
    coefficients = spline_coefficients(spectrum)[None, : augmentation.num_frames]
    for seed in range(5):
        found = augmentation(coefficients.astype(np.float32), np.random.default_rng(seed))
        assert np.isfinite(found).all()


def corpus(folder, songs):
    """A data set in Jamendo's layout; every song is sung in its first half."""
    for name in ("audio", "labels", "filelists"):
        (folder / name).mkdir(parents=True)
    for split, names in songs.items():
        (folder / "filelists" / split).write_text("".join(f"{name}.wav\n" for name in names))
        for name in names:
            soundfile.write(folder / f"audio/{name}.wav", sounds()[name.split("-")[0]], 22050)
            (folder / f"labels/{name}.lab").write_text("0 1 sing\n1 9 nosing\n")
    output = folder / "records"
    prepare_data(PrepareSettings(output=str(output), dataset="jamendo", data_dir=str(folder)))
    return open_records(output)


def test_one_silent_song_has_statistics_but_no_classifier(tmp_path):
    from svdam.training.classifier import train_classifier
    from svdam.training.settings import ClassifierSettings

    records = corpus(tmp_path, {"train": ["silence"], "valid": ["click"], "test": []})
    np.testing.assert_allclose(records.mean, FRONT_END.silence, rtol=1e-6)
    assert (records.std < 1e-9).all()
    settings = ClassifierSettings(output=str(tmp_path / "run"), records=str(records.folder))
    with (
        start_run(settings.output, "train_classifier", settings) as run,
        pytest.raises(InputError, match=r"80 of 80 mel bands never change .* add songs"),
    ):
        train_classifier(settings, records, run)


def test_training_on_extremes_stays_finite(tmp_path):
    from svdam.models.loading import load_model
    from svdam.training.classifier import train_classifier
    from svdam.training.settings import ClassifierSettings

    train = ["silence", "full_scale", "direct_current", "click", "constant_excerpts"]
    records = corpus(tmp_path, {"train": train, "valid": ["silence-2"], "test": []})
    settings = ClassifierSettings(
        output=str(tmp_path / "run"), records=str(records.folder), num_epochs=1, epoch_batches=3,
        batch_size=4, augment=False,
    )  # fmt: skip
    with np.errstate(all="ignore"), start_run(settings.output, "train_classifier", settings) as run:
        summary = train_classifier(settings, records, run)
    assert 0 <= summary["validation_error"] <= 1
    classifier = load_model(tmp_path / "run/classifier.keras", "classifier")
    excerpts = np.stack([records.log_mel(song)[:115] for song in records.songs("train")])
    assert np.isfinite(classifier(excerpts[..., None]).numpy()).all()


def test_scores_of_constant_predictions_and_one_class():
    frames = np.full(500, 0.3)
    for labels in (np.zeros(500, bool), np.ones(500, bool), np.arange(500) < 9):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            scores = evaluate([frames], [labels])
        numbers = [value for value in scores.values() if value is not None]
        assert np.isfinite(numbers).all() and scores["auroc"] in (None, 0.5)


def test_distances_of_constant_responses():
    assert frechet_distance(3, 0, 3, 0) == 0
    assert frechet_distance(3, 0, 1, 4) == 8
    assert frechet_distance_of_samples(np.full(9, 2.0), np.full(5, 2.0)) == 0
    with pytest.raises(InputError):
        frechet_distance_of_samples(np.array([1.0]), np.array([1.0, 2.0]))
    vectors = np.ones((5, 3))
    assert abs(frechet_distance_of_samples(vectors, vectors)) < 1e-9


def test_rankings_at_the_edges():
    rng = np.random.RandomState(0)
    real = rng.normal(size=4)
    one, two = Configuration(0.1, 0.1, 100), Configuration(0.1, 0.1, 500)
    with pytest.raises(InputError, match="all 4 responses are the same"):
        rank_configurations(np.stack([real, np.full(4, 3.0)]), real, [one, two], num_resamples=100)
    with pytest.raises(InputError, match="same"):
        rank_configurations(real[None], np.full(4, 3.0), [one], num_resamples=100)
    with pytest.raises(InputError, match="two"):
        rank_configurations(real[None, :1], real[:1], [one], num_resamples=100)
    with pytest.raises(InputError, match="not finite"):
        rank_configurations(np.array([[np.nan, 1, 2, 3]]), real, [one], num_resamples=100)
    ranking = rank_configurations(np.stack([real, real]), real, [one, two], num_resamples=100)
    assert [row.distance for row in ranking.rows] == pytest.approx([0, 0], abs=1e-12)
    assert sum(row.first_share for row in ranking.rows) == pytest.approx(1)
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))  # And is shown as a dash.


def test_measures_of_equal_sets_are_told_apart_from_numbers():
    """Effects of sets without any spread are undefined: reported as such, not as NaN."""
    from svdam.report.content import ConceptRow
    from svdam.report.pages import NO_VALUE, number

    constant = np.full((5, 115, 80), -3.0)
    measured = measure_excerpts(constant)
    for row in compare_sets(measured, measured, paired=True, num_resamples=100):
        for value in (row.effect_size, row.effect_low, row.effect_high):
            assert np.isfinite(value) or number(value) == NO_VALUE
    undefined = ConceptRow("a → b", "x", "dB", 1, 1, np.nan, np.nan, np.nan, 1)
    assert undefined.verdict == "undefined"


def test_densities_of_constant_and_single_responses():
    grid = np.linspace(-1, 1, 50)
    for values in (np.zeros(50), np.zeros(1), np.array([0, 0, 0, 1])):
        density = kernel_density(values, grid)
        assert np.isfinite(density).all() and density.max() > 0
