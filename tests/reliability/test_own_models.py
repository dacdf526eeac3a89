"""Users' classifiers of many forms through all stages: each works, or is refused in one line.

The numbers that the stages write are compared with what Keras itself makes of the same excerpts.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from keras import layers, ops
from small_world import run_here

from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.results.examples import read_results
from svdam.results.responses import read_responses
from svdam.stages.make_report import ReportSettings, make_report, read_content
from svdam.stages.prepare_data import PrepareSettings, prepare_data

pytestmark = pytest.mark.slow

EXCERPT = (115, 80, 1)
LATENT_SIZE = 6
SECS = 2.5


@dataclasses.dataclass
class Case:
    """A classifier and what becomes of it.

    Attributes:
        build: Makes the classifier.
        response: What is explained.
        output: (excerpts, the classifier) -> (batch, classes) its outputs.
        probabilities: The same as probabilities, by NumPy; None where none are to be shown.
        index: The class that the response drives.
        flags: Further flags of all three commands.
        refused: By command: what its one line says. ``all`` for all of them.
        excerpt: Shape of an excerpt.
        has_page: Whether its report is written, which takes a second.
    """

    build: Callable[[], keras.Model]
    response: str = "output:0"
    output: Callable = lambda excerpts, model: model(excerpts)
    probabilities: Callable | None = None
    index: int = 0
    flags: tuple[str, ...] = ()
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    excerpt: tuple[int, ...] = EXCERPT
    has_page: bool = False


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def as_they_are(x):
    return x


def without_channel(excerpts, model):
    return model(excerpts[..., 0])


def of(name):
    return lambda excerpts, model: model(excerpts)[name]


def features(excerpt):
    """(batch, 13, 26): few enough for a test."""
    shape = excerpt.shape[1:]
    x = excerpt if len(shape) == 3 else layers.Reshape((*shape, 1))(excerpt)
    x = layers.AveragePooling2D((9, 3))(x)
    return layers.Reshape((-1, 26))(x)


def recurrent():
    excerpt = keras.Input(EXCERPT)
    x = layers.Bidirectional(layers.GRU(3))(features(excerpt))
    return keras.Model(excerpt, layers.Dense(1, activation="sigmoid", name="singing")(x))


def stateful_with_a_fixed_batch():
    excerpt = keras.Input(batch_shape=(8, 115, 80))
    x = layers.LSTM(3, stateful=True)(features(excerpt))
    return keras.Model(excerpt, layers.Dense(1, name="logit")(x))


def in_batches_of_8(excerpts, model):
    """What the stateful model says, from its initial state."""
    padded = np.zeros((-(-len(excerpts) // 8) * 8, 115, 80), np.float32)
    padded[: len(excerpts)] = excerpts[..., 0]
    parts = []
    for start in range(0, len(padded), 8):
        for layer in model.layers:
            if isinstance(layer, layers.LSTM):
                layer.reset_state()
        parts.append(np.asarray(model(padded[start : start + 8])))
    return np.concatenate(parts)[: len(excerpts)]


def attention():
    excerpt = keras.Input(EXCERPT)
    x = features(excerpt)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(excerpt, layers.Dense(10, name="tags")(x))


def two_inputs():
    inputs = [keras.Input(EXCERPT, name="sound"), keras.Input((2,), name="singer")]
    x = layers.Concatenate()([layers.Flatten()(inputs[0]), inputs[1]])
    return keras.Model(inputs, layers.Dense(1)(x))


def two_outputs():
    excerpt = keras.Input(EXCERPT)
    x = layers.Flatten()(features(excerpt))
    singing = layers.Dense(1, activation="sigmoid")(x)
    return keras.Model(excerpt, {"genres": layers.Dense(3)(x), "singing": singing})


def dictionaries():
    excerpt = keras.Input(EXCERPT, name="log_mel")
    classes = layers.Dense(2, activation="softmax")(layers.Flatten()(features(excerpt)))
    return keras.Model({"log_mel": excerpt}, {"classes": classes})


def nested():
    excerpt, inner = keras.Input(EXCERPT), keras.Input((None, 80, 1))
    backbone = keras.Model(inner, layers.GlobalMaxPooling2D()(layers.Conv2D(4, 9, 5)(inner)))
    head = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.Softmax()])
    return keras.Model(excerpt, head(backbone(excerpt)))


def preprocessing():
    excerpt = keras.Input(EXCERPT)
    standardise = layers.Normalization(axis=2)
    standardise.adapt(np.random.RandomState(1).normal(-8, 2, size=(4, *EXCERPT)))
    x = layers.CenterCrop(100, 78)(layers.Rescaling(0.5, offset=1)(standardise(excerpt)))
    x = layers.Flatten()(layers.Resizing(10, 13)(x))
    return keras.Model(excerpt, layers.Dense(2, name="classes")(x))


def half_precision():
    excerpt = keras.Input(EXCERPT, dtype="float16")
    x = layers.Flatten(dtype="float16")(layers.AveragePooling2D(9, dtype="float16")(excerpt))
    return keras.Model(excerpt, layers.Dense(1, dtype="float16", name="logit")(x))


def channels_first():
    excerpt = keras.Input((1, 115, 80))
    x = layers.Conv2D(3, 9, 5, data_format="channels_first")(excerpt)
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    return keras.Model(excerpt, ops.sigmoid(layers.Dense(1)(x)))


def over_time():
    excerpt = keras.Input((115, 80))
    x = layers.Conv1D(4, 5, strides=3, activation="relu")(excerpt)
    x = layers.GlobalMaxPooling1D()(x)
    return keras.Model(excerpt, layers.Dense(2, activation="log_softmax", name="classes")(x))


def open_time_axis():
    excerpt = keras.Input((None, 80, 1))
    frames = layers.Dense(1, activation="sigmoid")(features(excerpt))
    return keras.Model(excerpt, layers.GlobalAveragePooling1D()(frames))


def every_frame():
    excerpt = keras.Input(EXCERPT)
    return keras.Model(excerpt, layers.Dense(3, activation="softmax")(features(excerpt)))


def frame_means(excerpts, model):
    return np.asarray(model(excerpts)).mean(axis=1)


def of_other_size(frames, bands):
    def build():
        excerpt = keras.Input((frames, bands, 1))
        x = layers.Flatten()(layers.MaxPooling2D(8)(excerpt))
        return keras.Model(excerpt, layers.Dense(5, name="tags")(x))

    return build


@keras.saving.register_keras_serializable("own")
class Squash(layers.Layer):
    """From 0 to 1; whether that is a probability, only its author knows."""

    def call(self, x):
        return 0.5 + ops.arctan(x) / np.pi


def own_ending():
    excerpt = keras.Input(EXCERPT)
    return keras.Model(excerpt, Squash(name="squash")(layers.Dense(1)(layers.Flatten()(excerpt))))


@keras.saving.register_keras_serializable("own")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(ops.mean(x, axis=(1, 2)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, *EXCERPT)))
    return model


def subclassed_on_an_input():
    excerpt = keras.Input(EXCERPT)
    return keras.Model(excerpt, Subclassed()(excerpt))


UNSURE = r"--output_is: .* ends in 'squash' \(Squash\)"
OTHER_SIZE = dict(
    collect_responses=r"--classifier: .* takes \({}, 1\), expected \(115, 80, 1\)",
    evaluate_classifier=r"--classifier: .* takes \({}, 1\), expected \(115, 80, 1\)",
)


def refused_size(size):
    return {command: words.format(size) for command, words in OTHER_SIZE.items()}


MANY = {"evaluate_classifier": r"has \d+ outputs, expected 1 \(singing\) or 2"}
CASES = {
    "recurrent": Case(recurrent, "singing", probabilities=as_they_are, has_page=True),
    "recurrent, its logit": Case(
        recurrent, "singing_pre", lambda x, m: logit(m(x)), lambda x: sigmoid(x)
    ),
    "stateful, of fixed batches": Case(
        stateful_with_a_fixed_batch, "logit", in_batches_of_8, sigmoid
    ),
    "attention": Case(attention, "tags:3", probabilities=softmax, index=3, refused=MANY),
    "attention, many labels": Case(
        attention,
        "tags:7",
        probabilities=sigmoid,
        index=7,
        flags=("--output_is=multilabel_logits",),
        refused=MANY,
    ),
    "two inputs": Case(
        two_inputs, refused={"all": r"has 2 inputs \(sound \(None, 115, 80, 1\), singer \(None, 2"}
    ),
    "two outputs": Case(
        two_outputs,
        "singing",
        of("singing"),
        as_they_are,
        refused={"evaluate_classifier": r"2 outputs \(genres \(None, 3\), singing \(None, 1\)\)"},
    ),
    "two outputs, none named": Case(
        two_outputs,
        "output",
        refused={
            "evaluate_classifier": r"2 outputs \(genres .*save a model with only one",
            "all": r"2 outputs \(genres .*--response=genres",
        },
    ),
    "dictionaries": Case(
        dictionaries,
        "classes:1",
        lambda x, m: m({"log_mel": x})["classes"],
        as_they_are,
        index=1,
    ),
    "nested": Case(nested, "output:1", probabilities=as_they_are, index=1),
    "preprocessing": Case(preprocessing, "classes:0", probabilities=softmax),
    "half precision": Case(half_precision, "logit", probabilities=sigmoid),
    "channels first": Case(
        channels_first,
        output=lambda x, m: m(np.moveaxis(x, -1, 1)),
        probabilities=as_they_are,
    ),
    "1-D over time": Case(over_time, "classes:1", without_channel, softmax, index=1),
    "open time axis": Case(open_time_axis, probabilities=as_they_are),
    "every frame": Case(
        every_frame,
        output=frame_means,
        has_page=True,
        refused={"evaluate_classifier": r"found output shape \(None, 12, 3\)"},
    ),
    "96 x 64": Case(
        of_other_size(96, 64),
        "tags:2",
        probabilities=softmax,
        index=2,
        refused=refused_size("96, 64"),
        excerpt=(96, 64, 1),
    ),
    "187 x 96": Case(
        of_other_size(187, 96),
        "tags:2",
        probabilities=sigmoid,
        index=2,
        flags=("--output_is=multilabel_logits",),
        refused=refused_size("187, 96"),
        excerpt=(187, 96, 1),
    ),
    "own last layer": Case(own_ending, "squash", refused={"evaluate_classifier": UNSURE}),
    "own last layer, with the flag": Case(
        own_ending, "squash", probabilities=as_they_are, flags=("--output_is=probabilities",)
    ),
    "subclassed, called on an input": Case(
        subclassed_on_an_input,
        refused={"evaluate_classifier": r"--output_is: .* ends in 'subclassed.*' \(Subclassed\)"},
    ),
    "subclassed": Case(subclassed, refused={"all": "does not define its input"}),
}


def logit(probabilities):
    values = np.asarray(probabilities, np.float64)
    return np.log(values / (1 - values))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Records of two songs."""
    folder = tmp_path_factory.mktemp("own_models")
    rng = np.random.RandomState(0)
    time_secs = np.arange(round(SECS * 22050)) / 22050
    for split in ("train", "test"):
        (folder / f"corpus/{split}").mkdir(parents=True)
        tone = (time_secs < 1) * np.sin(2 * np.pi * rng.uniform(200, 500) * time_secs)
        samples = 0.3 * tone + 0.01 * rng.normal(size=len(tone))
        soundfile.write(folder / f"corpus/{split}/{split}.wav", samples, 22050)
        (folder / f"corpus/{split}/{split}.lab").write_text(f"0 1 sing\n1 {SECS} nosing\n")
    prepare_data(
        PrepareSettings(
            output=str(folder / "records"),
            dataset="folder",
            data_dir=str(folder / "corpus"),
            split_by="folders",
        )
    )
    return folder


def generator(excerpt):
    latent = keras.Input((LATENT_SIZE,))
    x = layers.Dense(30, activation="tanh")(latent)
    x = layers.Dense(int(np.prod(excerpt)), bias_initializer=keras.initializers.Constant(-8))(x)
    return keras.Model(latent, layers.Reshape(excerpt)(x))


class Commands:
    """The commands on one case, in a folder of its own."""

    def __init__(self, case: Case, place: Path, folder: Path):
        keras.utils.set_random_seed(7)
        self.case, self.folder = case, folder
        self.model = case.build()
        self.model.save(folder / "classifier.keras")
        generator(case.excerpt).save(folder / "generator.keras")
        self.records = place / "records"
        self._common = [f"--classifier={folder / 'classifier.keras'}", *case.flags]

    def run(self, command: str, *flags: str) -> Path | None:
        """The run folder; None if the command was refused as the case says."""
        output = self.folder / command
        words = self.case.refused.get(command, self.case.refused.get("all"))
        line = [f"svdam.{command}", *self._common, *flags, f"--output={output}"]
        if words is None:
            run_here(line)
            return output
        with pytest.raises(InputError, match=words) as caught:
            run_here(line)
        assert "\n" not in str(caught.value)
        assert not list(output.rglob("*.npz")), "work was done before"
        return None

    def collect(self):
        response = f"--response={self.case.response}"
        records = f"--records={self.records}"
        return self.run("collect_responses", records, response, "--top_n=2", "--excerpt_spacing=20")

    def maximize(self):
        return self.run(
            "maximize_activation",
            f"--generator={self.folder / 'generator.keras'}",
            f"--response={self.case.response}",
            "--precision=float32",  # Probabilities are compared with responses to 0.2 %.
            *("--learning_rates=0.1", "--prior_weights=0.01", "--num_steps=2", "--seeds=0-1"),
        )

    def evaluate(self):
        records = f"--records={self.records}"
        return self.run("evaluate_classifier", records, "--threshold=0.5", "--num_charts=0")

    def report(self, grid, responses):
        """Reads the runs for a report, and writes one if the case is to have a page."""
        runs = [f"--grid={grid}", f"--responses={responses}"]
        selection, output = self.folder / "selection", self.folder / "report"
        run_here(
            ["svdam.select_hyperparameters", *runs, "--num_resamples=100", f"--output={selection}"]
        )
        names = dict(grid=str(grid), responses=str(responses), selection=str(selection))
        settings = ReportSettings(**names, sounds="best", output=str(output))
        content = read_content(settings)
        for one in (content.start, content.configurations[0], content.highest):
            assert (one.probabilities is None) == (self.case.probabilities is None)
        if self.case.has_page:
            page = make_report(settings).read_text("utf-8")
            assert ("<dt>probability</dt>" in page) == (self.case.probabilities is not None)

    def check(self, excerpts, responses, probabilities):
        """Compares with what Keras makes of (N, frames, mels, 1) excerpts."""
        outputs = self.case.output(excerpts.astype(np.float32), self.model)
        outputs = np.asarray(outputs, np.float64).reshape(len(excerpts), -1)
        np.testing.assert_allclose(responses, outputs[:, self.case.index], rtol=2e-3, atol=1e-4)
        assert (probabilities is None) == (self.case.probabilities is None)
        if probabilities is not None:
            expected = self.case.probabilities(outputs)[:, self.case.index]
            np.testing.assert_allclose(probabilities, expected, rtol=2e-3, atol=1e-4)


@pytest.fixture(params=CASES)
def commands(request, place, tmp_path):
    return Commands(CASES[request.param], place, tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_real_responses_search_and_report(commands):
    responses, grid = commands.collect(), commands.maximize()
    if responses is not None:
        top = read_responses(responses).highest
        commands.check(top.excerpts[..., np.newaxis], top.responses, top.probabilities)
    if grid is not None:
        found = read_results(grid)
        commands.check(found.start_examples, found.start_responses, found.start_probabilities)
        last = None if found.probabilities is None else found.probabilities[0]
        commands.check(found.examples[0], found.responses[0], last)
    if None not in (responses, grid):
        commands.report(grid, responses)


@pytest.mark.filterwarnings("ignore")
def test_evaluation(commands):
    evaluation = commands.evaluate()
    if evaluation is None:
        return
    records = open_records(commands.records)
    (song,) = records.songs("test")
    with np.load(evaluation / "predictions.npz") as stored:
        predictions = stored[song.id][:, 0]
    frames = [57, 90, 110]
    log_mel = records.log_mel(song)
    excerpts = np.stack([log_mel[frame - 57 : frame + 58] for frame in frames])[..., np.newaxis]
    outputs = commands.case.output(excerpts, commands.model)
    outputs = np.asarray(outputs, np.float64).reshape(len(frames), -1)
    expected = commands.case.probabilities(outputs)[:, -1]
    np.testing.assert_allclose(predictions[frames], expected, rtol=2e-3, atol=1e-4)
