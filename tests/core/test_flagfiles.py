"""Flagfiles as people write them: what is accepted, and what is refused with file and line."""

import hypothesis
import pytest
from absl import flags
from hypothesis import strategies

from svdam.core.flagfiles import quoted, with_flagfiles
from svdam.core.validation import InputError

PLAIN = ["--name=my music", "--fast", "--rates=0.1,0.2"]
TEXT = "--name=my music\n--fast\n--rates=0.1,0.2\n"

SAME_MEANING = {
    "plain": TEXT.encode(),
    "byte-order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "windows line ends": TEXT.replace("\n", "\r\n").encode(),
    "old mac": TEXT.replace("\n", "\r").encode(),
    "notepad's unicode": TEXT.replace("\n", "\r\n").encode("utf-16"),
    "quoted value": TEXT.replace("my music", '"my music"').encode(),
    "single quotes": TEXT.replace("my music", "'my music'").encode(),
    "quoted line": TEXT.replace("--name=my music", '"--name=my music"').encode(),
    "comments": f"# a\n// b\n\n   # c\n{TEXT}".encode(),
    "blanks around": f"   {TEXT}   ".replace("\n", "  \n\t").encode(),
    "one dash": TEXT.replace("--", "-").encode(),
}


def read(tmp_path, content, *more):
    (tmp_path / "f.cfg").write_bytes(content)
    return with_flagfiles([f"--flagfile={tmp_path}/f.cfg", *more])


@pytest.mark.parametrize("content", SAME_MEANING.values(), ids=SAME_MEANING)
def test_ways_to_write_the_same(tmp_path, content):
    found = read(tmp_path, content)
    assert ["--" + flag.lstrip("-") for flag in found] == PLAIN


def test_what_is_part_of_a_value_stays(tmp_path):
    lines = ['--names="a","b"', "--name=a#b", "--name=http://x//y", "--name=Hip-Hop", "--name=",
             "--name='a' - 'b'", "--name=rock'n'roll", "--name=a\\b"]  # fmt: skip
    assert read(tmp_path, "\n".join(lines).encode()) == lines


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--name=songs  # all",
            'comment must be on a separate line; .* write --name="songs  # all"',
        ),
        ("--name=songs // all", "a comment must be on a separate line"),
        (
            "--fast  # quickly",
            "found '--fast  # quickly', expected one flag in the form --name=value",
        ),
        ("--name songs", "found '--name songs', expected one flag"),
        ("--name = songs", "expected one flag"),
        ("name=songs", "expected one flag"),
        ("\u2013name=songs", "expected one flag"),
        ("--a=1 --b=2", 'found a second flag; write one per line; .* write --a="1 --b=2"'),
        ('--name="songs', "whose quotes do not match"),
        ("--name=“songs”", "whose quotes do not match"),
        ("--name=songs \\", "cannot continue on the next line"),
    ],
)
def test_refused_with_file_and_line(tmp_path, line, message):
    with pytest.raises(InputError, match=rf"f\.cfg:3: .*{message}") as caught:
        read(tmp_path, f"# first\n--x=1\n{line}\n".encode())
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    for content, message in (
        (b"--name=caf\xe9\n", "is not UTF-8 text"),
        ("--name=x".encode("utf-16-le"), "expected one flag"),
        (f"--flagfile={tmp_path}/f.cfg".encode(), "includes itself"),
        (b"--flagfile=", "is not given"),
        (b"--flagfile=/nowhere/f", "/nowhere/f: no such file"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path, content)
    for arguments in (["--flagfile"], [f"--flagfile={tmp_path}"], ["--flagfile=~nobody_here/f"]):
        with pytest.raises(InputError, match="--flagfile"):
            with_flagfiles(arguments)


def test_files_name_others_and_later_flags_win(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "inner.cfg").write_text("--b=2")
    found = read(tmp_path, b"--a=1\n--flagfile=~/inner.cfg\n--c=3", "--a=4", "--", "--flagfile=x")
    assert found == ["--a=1", "--b=2", "--c=3", "--a=4", "--", "--flagfile=x"]
    assert with_flagfiles(["--flagfile", "~/inner.cfg", "x"]) == ["--b=2", "x"]


@hypothesis.given(strategies.text(strategies.sampled_from(" ab#/\"'\\=-“~"), max_size=8))
def test_what_is_written_reads_back(tmp_path_factory, value):
    """Except what holds both kinds of quotes: that reads back or is refused."""
    path = tmp_path_factory.getbasetemp() / "written.cfg"
    path.write_text(f"--name={quoted(value)}\n", "utf-8")
    try:
        assert with_flagfiles([f"--flagfile={path}"]) == [f"--name={value}"]
    except (InputError, AssertionError):
        assert '"' in value and "'" in value


def test_absl_reads_plain_files_alike(tmp_path):
    """absl's own reader is the oracle for what needs none of ours."""
    (tmp_path / "inner.cfg").write_text("--rates=5\n")
    content = f"# c\n{TEXT}\n// d\n--flagfile={tmp_path}/inner.cfg\n".encode()
    ours = read(tmp_path, content, "--x=1")
    theirs = flags.FlagValues().read_flags_from_files([f"--flagfile={tmp_path}/f.cfg", "--x=1"])
    assert ours == theirs
