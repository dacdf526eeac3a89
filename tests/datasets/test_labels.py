"""Label files: what is accepted, what is refused, and which frames are sung."""

import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.datasets.label_files import looks_like_labels
from svdam.datasets.labels import frame_labels, parse_labels

PLAIN = [(0.0, 1.2, False), (1.2, 3.9, True)]

SAME_MEANING = {
    "plain": b"0 1.2 nosing\n1.2 3.9 sing\n",
    "tabs": b"0\t1.2\tnosing\n1.2\t3.9\tsing\n",
    "commas": b"0,1.2,nosing\n1.2, 3.9 , sing\n",
    "windows": b"0 1.2 nosing\r\n1.2 3.9 sing\r\n",
    "old mac": b"0 1.2 nosing\r1.2 3.9 sing",
    "byte-order mark": b"\xef\xbb\xbf0 1.2 nosing\n1.2 3.9 sing\n",
    "utf-16": "0 1.2 nosing\n1.2 3.9 sing\n".encode("utf-16"),
    "comments": "# J\u00e9r\u00f4me\n0 1.2 nosing # intro\n\n1.2 3.9 sing\n".encode(),
    "comments in latin-1": "# J\u00e9r\u00f4me\n0 1.2 nosing\n1.2 3.9 sing\n".encode("latin-1"),
    "odd characters in comments": b"# a\x0bb\x0cc\x1cd\x85e\n0 1.2 nosing\n1.2 3.9 sing\n",
    "indented, with blanks behind": b"  0 1.2 nosing  \n\t1.2 3.9 sing\t\n",
    "unsorted": b"1.2 3.9 sing\n0 1.2 nosing\n",
    "no last line end": b"0 1.2 nosing\n1.2 3.9 sing",
    "upper case": b"0 1.2 NOSING\n1.2 3.9 Sing\n",
    "exponents": b"0 12e-1 nosing\n+1.2 3.9 sing\n",
}


@pytest.mark.parametrize("content", SAME_MEANING.values(), ids=SAME_MEANING)
def test_ways_to_write_the_same(content):
    assert parse_labels(content, "x.lab") == PLAIN


REFUSED = {
    b"0 1 nosing\n1 2\n": r"x\.lab:2: found 2 fields",
    b"0 1 nosing\n1 2 sing loudly\n": r"x\.lab:2: found 4 fields",
    b"0,5 1,5 sing\n": r"x\.lab:1: found 5 fields .* decimal point",
    b"0,,1,sing\n": r"x\.lab:1: found 4 fields",
    b"0 1 nosing\n\n1 2 singing\n": r"x\.lab:3: found label 'singing', expected 'sing' or 'nosing'",
    b"0 one sing\n": r"x\.lab:1: found time 'one'",
    b"0 nan sing\n": r"x\.lab:1: found time 'nan'",
    b"0 inf sing\n": r"x\.lab:1: found time 'inf'",
    b"0 1e999 sing\n": r"x\.lab:1: found time '1e999'",
    b"0 1_0 sing\n": r"x\.lab:1: found time '1_0'",
    b"-1 1 sing\n": r"x\.lab:1: found time '-1'",
    b"0 1 nosing\n3 2 sing\n": r"x\.lab:2: ends at 2 s, before its start at 3 s",
    b"0 2 sing\n1 3 nosing\n": r"x\.lab:2: contradicts line 1: from 1 s to 2 s",
    b"1 3 nosing\n0 2 sing\n": r"x\.lab:2: contradicts line 1: from 1 s to 2 s",
    b"0 9 sing\n1 2 sing\n4 5 nosing\n": r"x\.lab:3: contradicts line 1: from 4 s to 5 s",
    b"0 1 sing\n0 1 nosing\n": r"x\.lab:2: contradicts line 1",
    b"0 1 sing\r\n1 2 nosing\r\n2 3 humming": r"x\.lab:3: found label 'humming'",
    b"# a\x0cb\n0 1 humming\n": r"x\.lab:2: found label 'humming'",
    b"RIFF\x24\x00\x00\x00WAVE": r"x\.lab:1: is not text",
    b"0 1 sing\n1 2 \x00\n": r"x\.lab:2: is not text",
}


@pytest.mark.parametrize("content", REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_refused_with_file_and_line(content):
    with pytest.raises(InputError, match=REFUSED[content]) as caught:
        parse_labels(content, "x.lab")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"# instrumental\n", b"\xef\xbb\xbf"])
def test_without_segments_nobody_sings(content):
    assert parse_labels(content, "x.lab") == []
    assert not frame_labels([], 100).any()


LIKE_LABELS = {
    b"0\t1.5\tsing\n": True,
    b"0,000000\t1,5\tvoice\n": True,  # With decimal commas.
    b"0.5 1.5\n2 3\n": True,
    b"start,end,label\n0,1.5,Verse 1\n2,3,x\n": True,
    b"start;end\n0;1.5\n": True,
    "0\t1\tStrophe\r\n".encode("utf-16"): True,
    b"": False,
    b"start,end,label\n": False,
    b"Is this the real life?\n": False,
    b"2 3 go\nand words\n": False,
    b"track,genre\n7,Pop\n": False,
    b"RIFF\0\0": False,
}


@pytest.mark.parametrize("content", LIKE_LABELS, ids=[str(n) for n in range(len(LIKE_LABELS))])
def test_texts_that_look_like_labels(content):
    assert looks_like_labels(content) == LIKE_LABELS[content]


def test_overlaps_of_one_meaning_are_accepted():
    segments = parse_labels(b"0 2 sing\n1 3 sing\n3 4 nosing\n3.0 3.0 sing\n", "x.lab")
    labels = frame_labels(segments, 350)
    assert labels[:210].all() and not labels[210:].any()


def test_times_rounded_to_milliseconds_do_not_contradict():
    parse_labels(b"0 1.0006 nosing\n1 2 sing\n", "x.lab")


def test_frames_are_labelled_by_their_time():
    # By hand: frame k is sung if start <= k / 70 < end.
    segments = [(1.0, 2.5, True), (3.013, 3.9, True), (9.0, 99.0, True)]
    sung = np.zeros(700, bool)
    for frame in range(700):
        sung[frame] = any(start * 70 <= frame < end * 70 for start, end, _ in segments)
    np.testing.assert_array_equal(frame_labels(segments, 700), sung)
    assert np.flatnonzero(np.diff(sung.astype(int))).tolist() == [69, 174, 210, 272, 629]


def test_no_frames_give_no_labels():
    assert frame_labels(PLAIN, 0).shape == (0,)
