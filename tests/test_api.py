"""What ``import svdam`` offers: lazily, with examples that run, and shown by a notebook."""

import base64
import doctest
import inspect
import io
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import svdam
from svdam.core.validation import InputError
from svdam.results.display import Shown
from svdam.results.examples import AMResults, read_results
from svdam.results.responses import read_responses
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from svdam.stages.select_hyperparameters import SelectionSettings, select_hyperparameters
from tests.explain.fake_runs import write_real, write_search

METHODS = [Shown.plot, Shown.audio, AMResults.plot, AMResults.audio]
HEAVY = {"tensorflow", "keras", "librosa", "matplotlib", "apache_beam"}


@pytest.fixture(scope="module")
def place(tmp_path_factory, request):
    """A folder with what the examples read."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "checkpoints").symlink_to(request.config.rootpath / "checkpoints")
    write_search(folder / "runs/grid")
    write_real(folder / "runs/responses")
    select_hyperparameters(
        SelectionSettings(
            grid=str(folder / "runs/grid"),
            responses=str(folder / "runs/responses"),
            output=str(folder / "runs/selection"),
            num_resamples=100,
        )
    )
    prepare_data(PrepareSettings(output=str(folder / "runs/data"), num_songs=3, song_secs=4.0))
    return folder


def run_examples(documented):
    """Runs the examples of a docstring, which find these names of its module, and some results."""
    names = vars(inspect.getmodule(documented)) | {
        "found": read_responses("runs/responses").highest,
        "results": read_results("runs/grid"),
        "real": read_responses("runs/responses"),
    }
    parsed = doctest.DocTestParser().get_doctest(
        inspect.getdoc(documented), names, documented.__qualname__, None, None
    )
    assert parsed.examples
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert not runner.run(parsed, out=report.write).failed, report.getvalue()


FUNCTIONS = [one for one in map(svdam.__getattr__, svdam.__all__) if inspect.isfunction(one)]


@pytest.mark.parametrize("documented", [*FUNCTIONS, *METHODS], ids=lambda one: one.__qualname__)
def test_examples_run(documented, place, monkeypatch):
    monkeypatch.chdir(place)
    if documented is svdam.read_explanations and not os.path.exists("runs/explain"):
        run_examples(svdam.explain_classifier)
    run_examples(documented)


def test_everything_is_offered_and_nothing_is_loaded_early():
    """Tried for real, in a fresh interpreter."""
    code = (
        "import sys, svdam\n"
        "assert set(svdam.__all__) <= set(dir(svdam)) and 'maximize' in svdam.__all__\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "svdam.frechet_distance, svdam.read_results, svdam.log_mel_spectrogram\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
        "print(*loaded)\n"
    )
    environment = {**os.environ, "EAGER_IMPORT": ""}
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    assert not HEAVY & set(loaded)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = svdam.no_such_name


def test_a_notebook_shows_pictures_and_players(place):
    """With neither IPython nor pyplot in between."""
    results = read_results(place / "runs/grid")
    figure = results.plot(which=[1, 2], configurations=[0, 3])
    assert len(figure.axes) == 6  # Start and two configurations.
    shown = figure.axes[3].images[0].get_array()
    np.testing.assert_array_equal(shown, results.examples[0, 2, :, :, 0].T)
    assert figure._repr_png_().startswith(b"\x89PNG")
    html = read_responses(place / "runs/responses").lowest.audio(1)._repr_html_()
    data = html.split("base64,")[1].split('"')[0]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == 22050 and samples.shape == (114 * 315 + 1024,)
    assert np.abs(samples).max() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda results: results.plot([6]), "excerpt 6: expected 0 to 5"),
        (lambda results: results.plot([]), "which: names no excerpt"),
        (lambda results: results.plot(configurations=[4]), "configuration 4: expected 0 to 3"),
        (lambda results: results.audio(configuration=-1), "configuration -1"),
        (
            lambda results: results.audio(front_end=svdam.get_front_end("musicnn")),
            "front_end: the excerpts have 80 bands, their front end has 96 bands",
        ),
        (lambda _: svdam.load_model("none.keras"), "^none.keras does not exist; expected"),
        (lambda _: svdam.load_model(__file__), "test_api.py"),
    ],
)
def test_wrong_arguments(call, message, place):
    with pytest.raises(InputError, match=message) as caught:
        call(read_results(place / "runs/grid"))
    assert "--" not in str(caught.value)


def test_load_model_finds_the_model_of_a_run(tmp_path):
    """Without a flag's name, which says what is expected."""
    from svdam.core.runs import start_run
    from svdam.training.settings import GanSettings

    with start_run(tmp_path / "gan", "train_gan", GanSettings()) as run:
        svdam.build_generator().save(run.folder / "generator.keras")
        run.mark_complete()
    assert svdam.load_model(tmp_path / "gan").output_shape == (None, 115, 80, 1)
