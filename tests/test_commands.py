"""Commands as a newcomer types them: help, and one clear line for what is wrong."""

import os
import subprocess
import sys

import pytest

COMMANDS = {
    "prepare_data": "data",
    "train_classifier": "classifier",
    "evaluate_classifier": "evaluation",
    "train_gan": "gan",
    "collect_responses": "responses",
    "maximize_activation": "grid",
    "select_hyperparameters": "selection",
    "make_report": "report",
    "explain_classifier": "explain",
}


@pytest.fixture(scope="module")
def run(request):
    def run_command(command, *flags, cwd=None):
        return subprocess.run(
            [sys.executable, "-m", f"svdam.{command}", *flags],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd or request.config.rootpath,
        )

    return run_command


def refusal(result):
    """The one line of a refusal."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize(("command", "stage"), [*COMMANDS.items(), ("demo", None)])
def test_help_explains_every_flag(run, command, stage, request):
    result = run(command, "--help")
    assert result.returncode in (0, 1) and "Traceback" not in result.stderr
    for name in ("gan", "am") if stage == "gan" else (stage,) if stage else ():
        path = request.config.rootpath / "flags" / f"{name}.cfg"
        flags = [
            line.split("=")[0].lstrip("-").removeprefix("no")
            for line in path.read_text().splitlines()
            if line.startswith("--")
        ]
        if name != "am":
            for flag in flags:
                assert f"--{flag}" in result.stdout or f"]{flag}" in result.stdout


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("train_gan", ["--batch_size=0"], "--batch_size: found 0, expected at least 1"),
        ("train_gan", ["stray"], "unexpected argument 'stray'"),
        ("train_gan", ["--records=/nowhere"], "--records: /nowhere does not exist; create it with"),
        ("train_classifier", ["--momentum=nan"], "--momentum: found nan"),
        ("maximize_activation", ["--seeds=x"], "--seeds: cannot read 'x'"),
        ("maximize_activation", ["--generator=none.keras"], "none.keras does not exist; create it"),
        ("select_hyperparameters", ["--grid=/nowhere"], "--grid: /nowhere does not exist"),
        (
            "explain_classifier",
            ["--seeds=3"],
            "--seeds: names 1 latents, expected from 2 to --top_n=50",
        ),
        ("explain_classifier", ["--directions=up"], "--directions: found 'up', expected one of"),
        ("make_report", ["--grid=/nowhere"], "--grid: /nowhere does not exist"),
        ("prepare_data", ["--dataset=folder", "--data_dir=/nowhere"], "/nowhere"),
    ],
)
def test_refusals_are_one_line(run, command, flags, message, tmp_path):
    output = [] if "stray" in flags else [f"--output={tmp_path / 'run'}"]
    assert message in refusal(run(command, *output, *flags))


def svdam(*words, **options):
    command = [sys.executable, "-m", "svdam", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_svdam_lists_the_commands():
    result = svdam("--help")
    assert result.returncode == 0
    for name in COMMANDS:
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"{name} ")]
        assert line.endswith((".", ")."))
    assert svdam().stdout == result.stdout


def test_svdam_command_is_the_command(run, tmp_path):
    """The same help, the same errors, and the same result, in processes that it starts, too."""
    for words in (["make_report", "--help"], ["train_gan", "--batch_size=0"]):
        first, second = svdam(*words), run(*words)
        assert first.stdout == second.stdout
        assert (first.stderr, first.returncode) == (second.stderr, second.returncode)
    flags = ["--num_songs=3", "--song_secs=3", "--num_workers=2"]
    result = svdam("prepare_data", *flags, f"--output={tmp_path / 'data'}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "data/complete.json").exists()


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("maximise_activation", "did you mean maximize_activation?"),
        ("42", "svdam --help lists the commands"),
    ],
)
def test_unknown_commands_of_svdam(word, hint):
    assert refusal(svdam(word)) == f"error: svdam has no command {word!r}; {hint}"


@pytest.mark.parametrize("flag", ["--no_such_flag=1", "--batch_size=many"])
def test_flag_errors_keep_the_message_of_absl(run, flag):
    result = run("train_gan", flag)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "FATAL Flags parsing error" in result.stderr


def test_matplotlib_keeps_its_fonts_to_itself(tmp_path):
    """Where it cannot write, and at its first run, it announces what it does with its cache."""
    (tmp_path / "file").touch()
    code = "from svdam.core import commands; {}(lambda: __import__('matplotlib.font_manager'))"
    shown = {}
    for start in ("commands.run_command", "(lambda f: f())"):
        shown[start] = subprocess.run(
            [sys.executable, "-c", code.format(start)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "MPLCONFIGDIR": str(tmp_path / "file/below")},
        ).stderr
    assert shown["commands.run_command"] == "" and "cache" in shown["(lambda f: f())"]
