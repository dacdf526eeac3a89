"""Commands as somebody who is new to them gets them wrong: each message says what to do instead."""

import shutil

import numpy as np
import pytest
import soundfile
from small_world import run_here

from svdam.core.validation import InputError


def refusal(command, *flags):
    """The line that the user would see."""
    output = () if any(flag.startswith("--output=") for flag in flags) else ("--output=new",)
    with pytest.raises(InputError) as caught:
        run_here([f"svdam.{command}", *flags, *output])
    assert "\n" not in str(caught.value)
    return str(caught.value)


MAKE = "python -m svdam."
RESPONSES = "--responses=runs/responses"
COLLECT = ["--records=runs/data", "--top_n=4"]


@pytest.mark.parametrize(
    ("command", "flags", "words"),
    [
        # The wrong folder.
        ("train_classifier", ["--records=corpus"], ["not a run folder", MAKE + "prepare_data"]),
        (
            "train_classifier",
            ["--records=corpus/audio"],
            ["not a run folder", MAKE + "prepare_data"],
        ),
        (
            "train_gan",
            ["--records=runs"],
            ["--records: runs is not a run folder", "create one with"],
        ),
        ("train_gan", ["--records=runs/gan"], ["was written by train_gan", MAKE + "prepare_data"]),
        ("train_gan", ["--records=runs/data/manifest.json"], ["is a file, expected a run folder"]),
        (
            "collect_responses",
            [*COLLECT, "--classifier=runs/gan"],
            ["--classifier: runs/gan was written by train_gan", MAKE + "train_classifier"],
        ),
        (
            "collect_responses",
            [*COLLECT, "--classifier=corpus/audio/a.wav"],
            ["--classifier: corpus/audio/a.wav is not a .keras file"],
        ),
        (
            "maximize_activation",
            ["--classifier=runs/classifier", "--generator=runs/classifier"],
            ["--generator: runs/classifier was written by train_classifier", MAKE + "train_gan"],
        ),
        ("evaluate_classifier", ["--classifier=runs/evaluation"], ["written by evaluate_classif"]),
        # A stage that has not run yet.
        (
            "train_classifier",
            ["--records=none"],
            ["none does not exist; create it with", "prepare"],
        ),
        (
            "collect_responses",
            [*COLLECT, "--classifier=none"],
            ["none does not exist; create it with", MAKE + "train_classifier"],
        ),
        (
            "maximize_activation",
            ["--classifier=runs/classifier", "--generator=none"],
            ["--generator=none, the excerpt itself is optimized", "--prior=none"],
        ),
        (
            "maximize_activation",
            ["--classifier=runs/classifier", "--generator=missing"],
            ["missing does not exist; create it with", MAKE + "train_gan"],
        ),
        ("select_hyperparameters", ["--grid=none", RESPONSES], ["none does not exist", "maximize"]),
        (
            "select_hyperparameters",
            ["--grid=runs/grid", "--responses=none"],
            ["none does not exist", MAKE + "collect_responses"],
        ),
        (
            "make_report",
            ["--grid=runs/grid", RESPONSES, "--selection=none"],
            ["--selection: none does not exist", MAKE + "select_hyperparameters"],
        ),
        (
            "make_report",
            ["--grid=runs/grid", RESPONSES, "--selection=runs/selection", "--minimize=none"],
            ["none does not exist", "best.cfg", "--direction=min"],
        ),
        # Things swapped.
        (
            "select_hyperparameters",
            ["--grid=runs/responses", "--responses=runs/grid"],
            ["--grid: runs/responses was written by collect_responses", "maximize_activation"],
        ),
        (
            "maximize_activation",
            [
                "--classifier=runs/gan/generator.keras",
                "--generator=runs/classifier/classifier.keras",
            ],
            ["--generator", "swapped"],
        ),
        (
            "collect_responses",
            [*COLLECT, "--classifier=runs/gan/generator.keras"],
            ["takes (128,), expected (115, 80, 1)", "a generator"],
        ),
        (
            "train_classifier",
            ["--records=runs/data", "--initial=runs/gan/generator.keras"],
            ["--initial", "takes (128,), expected (115, 80, 1)"],
        ),
        (
            "maximize_activation",
            ["--classifier=runs/classifier", "--generator=runs/gan/critic.keras"],
            ["--generator"],
        ),
        (
            "make_report",
            ["--grid=runs/am_min", "--selection=runs/selection", RESPONSES],
            ["--selection", "run select_hyperparameters"],
        ),
        (
            "make_report",
            [
                "--grid=runs/grid", "--selection=runs/selection", RESPONSES,
                "--maximize=runs/am_min",
            ],
            ["--maximize: runs/am_min differs from --grid in its direction"],
        ),
        # Results into the wrong place.
        ("train_gan", ["--records=runs/data", "--output=corpus"], ["corpus is not a run folder"]),
        (
            "train_gan",
            ["--records=runs/data", "--output=runs/classifier"],
            ["written by train_classifier, not by train_gan", "choose another --output"],
        ),
        (
            "train_gan",
            ["--records=runs/data", "--output=corpus/audio/a.wav"],
            ["is a file, expected a run folder", "choose another --output"],
        ),
        (
            "train_gan",
            ["--records=runs/data", "--output=runs/gan", "--gradient_penalty=3"],
            ["holds a run with", "choose another --output"],
        ),
        # More than the machine has.
        (
            "train_classifier",
            ["--records=runs/data", "--noaugment", "--batch_size=1000000"],
            ["--batch_size: 1000000 would take about", "use a smaller value"],
        ),
        (
            "train_gan",
            ["--records=runs/data", "--batch_size=1000000"],
            ["--batch_size: 1000000 would take about", "use a smaller value"],
        ),
        (
            "collect_responses",
            [*COLLECT, "--classifier=runs/classifier", "--batch_size=1000000"],
            ["--batch_size: 1000000 would take about", "use a smaller value"],
        ),
        # Data sets.
        ("prepare_data", ["--dataset=jamendo", "--data_dir=corpus/audio"], ["filelists"]),
        ("prepare_data", ["--dataset=fma", "--data_dir=corpus"], ["fma_metadata/tracks.csv"]),
        ("prepare_data", ["--dataset=folder", "--data_dir=corpus/labels"], ["holds no audio"]),
        (
            "prepare_data",
            ["--dataset=folder", "--data_dir=corpus/audio/a.wav"],
            ["is not a directory"],
        ),
        (
            "prepare_data",
            ["--dataset=jamendo", "--data_dir=nowhere"],
            ["nowhere is not a directory"],
        ),
        # Names that do not exist.
        (
            "collect_responses",
            [*COLLECT, "--classifier=runs/classifier", "--response=softmax"],
            ["no layer 'softmax'", "'logit'"],
        ),
        (
            "collect_responses",
            [*COLLECT, "--classifier=runs/classifier", "--response=fc2:64"],
            ["fc2 has no unit 64; its units are 0 to 63"],
        ),
        (
            "collect_responses",
            ["--records=runs/data", "--classifier=runs/classifier", "--split=dev"],
            ["--split: found 'dev', expected one of train, valid, test"],
        ),
        (
            "collect_responses",
            ["--records=runs/data", "--classifier=runs/classifier", "--top_n=5000"],
            ["--top_n", "use a smaller --top_n"],
        ),
        (
            "maximize_activation",
            ["--classifier=runs/classifier", "--generator=runs/gan", "--max_memory=0.5"],
            ["--max_memory", "need at least"],
        ),
        (
            "maximize_activation",
            ["--classifier=runs/classifier", "--generator=runs/gan", "--latents=runs/gan"],
            ["--latents: runs/gan/results.h5 does not exist"],
        ),
        (
            "evaluate_classifier",
            ["--predictions=runs/evaluation/predictions.npz", "--labels=corpus/labels"],
            ["--threshold=0.5"],
        ),
    ],
)  # fmt: skip
def test_messages_say_what_to_do(world, command, flags, words):
    message = refusal(command, *flags)
    for word in words:
        assert word in message, message
    assert not (world / "new/complete.json").exists()


def test_a_run_that_was_not_finished(world):
    (world / "runs/gan/complete.json").unlink()
    message = refusal("maximize_activation", "--classifier=runs/classifier", "--generator=runs/gan")
    assert "is incomplete; resume it with: python -m svdam.train_gan" in message
    assert "--flagfile=runs/gan/flags.cfg" in message


def test_a_model_that_was_removed_from_its_run(world):
    (world / "runs/classifier/classifier.keras").unlink()
    message = refusal("collect_responses", "--records=runs/data", "--classifier=runs/classifier")
    assert "classifier.keras does not exist; create it with" in message


def test_data_without_labels_or_validation_songs(world):
    rng = np.random.RandomState(0)
    for name in ("train/a", "valid/b"):
        (world / "plain" / name).parent.mkdir(parents=True)
        soundfile.write(world / f"plain/{name}.wav", 0.1 * rng.normal(size=50_000), 22050)
    flags = ["--dataset=folder", "--data_dir=plain", "--output=plain_records"]
    run_here(["svdam.prepare_data", *flags])
    message = refusal("train_classifier", "--records=plain_records", "--noaugment")
    assert "no labelled" in message and "prepare" in message
    classifier = "--classifier=runs/classifier"
    message = refusal("evaluate_classifier", "--records=plain_records", classifier)
    assert "no song with labels" in message


def test_sound_that_was_moved_since(world):
    shutil.move("corpus", "elsewhere")
    flags = ["--records=runs/data", "--batch_size=2", "--num_epochs=1", "--epoch_batches=1"]
    message = refusal("train_classifier", *flags)
    assert "--audio" in message


def test_a_grid_of_one_example(world):
    models = ["--classifier=runs/classifier", "--generator=runs/gan", "--num_steps=2"]
    lines = ["--learning_rates=0.1,0.01", "--prior_weights=0.1", "--seeds=3", "--output=runs/one"]
    run_here(["svdam.maximize_activation", *models, *lines])
    message = refusal("select_hyperparameters", "--grid=runs/one", RESPONSES)
    assert "two" in message
