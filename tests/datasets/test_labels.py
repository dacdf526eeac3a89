"""Label files: what is accepted, what is refused, and which frames are positive."""

import importlib.util
import json

import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.datasets.label_files import is_label_file, looks_like_labels, read_events
from svdam.datasets.labels import Target, frame_labels, parse_labels, parse_targets, targets_of

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


DOG, SIREN = Target("dog", ("dog",)), Target("siren", ("siren",))
EVENTS = [(0.5, 2.0, "dog"), (1.25, 3.0, "Siren"), (4.0, 4.5, "a car, far away")]


def jams_file(annotations) -> bytes:
    """A JAMS file by hand, as its JSON schema has it."""
    metadata = {"curator": {"name": "", "email": ""}, "annotator": {}, "corpus": "x"}
    return json.dumps(
        {
            "annotations": [
                {
                    "namespace": namespace,
                    "data": [
                        {"time": start, "duration": end - start, "value": value, "confidence": 1}
                        for start, end, value in data
                    ],
                    "annotation_metadata": metadata,
                    "sandbox": {},
                }
                for namespace, data in annotations
            ],
            "file_metadata": {"duration": 6.0, "jams_version": "0.3.4", "identifiers": {}},
            "sandbox": {},
        }
    ).encode()


SAME_EVENTS = {
    "labels of words.lab": b"0.5\t2\tdog\n1.25\t3.0\tSiren\n4\t4.5\ta car, far away\n",
    "audacity.txt": b"0.500000\t2.000000\tdog\n1.250000\t3.000000\tSiren\n"
    b"4.0\t4.5\ta car, far away\n",
    "with frequencies.txt": b"0.5\t2.0\tdog\r\n\\\t100.0\t4000.5\r\n1.25\t3.0\tSiren\r\n"
    b"\\\t-1\t-1\r\n4.0\t4.5\ta car, far away\r\n",
    "decimal commas.txt": b"0,5\t2,0\tdog\n1,25\t3,0\tSiren\n4,0\t4,5\ta car, far away\n",
    "raven.txt": b"Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n1\t0.5\t2\tdog\n"
    b"2\t1.25\t3\tSiren\n3\t4\t4.5\ta car, far away\n",
    "table.csv": b'start,end,label\n0.5,2,dog\n1.25,3,Siren\n4,4.5,"a car, far away"\n',
    "other columns.CSV": b"id,label,note,offset,onset\r\n7,dog,,2,0.5\r\n8,Siren,x,3,1.25\r\n"
    b'9,"a car, far away",,4.5,4\r\n',
    "durations.csv": b"Start (s);Duration (s);Class\n0,5;1,5;dog\n1,25;1,75;Siren\n"
    b"4;0,5;a car, far away\n",
    "dcase.tsv": b"filename\tonset\toffset\tevent_label\na.wav\t0.5\t2\tdog\n\t\t\t\n"
    b"a.wav\t1.25\t3\tSiren\na.wav\t4\t4.5\ta car, far away\n",
    "audioset strong.tsv": "\ufeffsegment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"
    "b0\t0.5\t2\tdog\nb0\t1.25\t3\tSiren\nb0\t4\t4.5\ta car, far away\n".encode(),
}


@pytest.mark.parametrize("name", SAME_EVENTS)
def test_the_same_events_in_many_forms(name):
    content = SAME_EVENTS[name]
    assert [event[:3] for event in read_events(content, name)] == EVENTS
    assert is_label_file(name, content)
    assert parse_targets(content, name, [DOG, SIREN]) == [[(0.5, 2, True)], [(1.25, 3, True)]]


def test_several_labels_in_a_column():
    content = b"# made by hand\n# YTID, start_seconds, end_seconds, positive_labels\n"
    content += b'x, 30.5, 40.5, "/m/09x0r,/t/dd00088"\ny, 1, 2, "/m/0dgw9r"\n'
    assert read_events(content, "a.csv") == [
        *((30.5, 40.5, "/m/09x0r", 3), (30.5, 40.5, "/t/dd00088", 3), (1, 2, "/m/0dgw9r", 4))
    ]


REFUSED_EVENTS = {
    ("a.txt", b"0\t1\tdog\n1 2 dog\n"): r"a\.txt:2: found no tab in '1 2 dog'",
    ("a.txt", b"0\t1\tdog\n1\tx\tdog\n"): r"a\.txt:2: found time 'x', expected seconds",
    ("a.txt", b"0\t1\tdog\n3\t2\tdog\n"): r"a\.txt:2: ends at 2 s, before its start at 3 s",
    ("a.txt", b"-1\t1\tdog\n"): r"a\.txt:1: found time '-1', expected a time of at least 0",
    ("a.csv", b"0,1,dog\n"): r"a\.csv:1: does not name its columns.*start,end,label",
    ("a.csv", b"start_ms,end_ms,label\n0,1,dog\n"): r"a\.csv:1: does not name its columns",
    ("a.csv", b"start,end,label\n\n0,1\n"): r"a\.csv:3: found 2 fields, expected 3, as in line 1",
    ("a.csv", b"start,duration,label\n0,-1,dog\n"): r"a\.csv:2: found time '-1'",
    ("a.csv", b"start,end,label\n0,0:01,dog\n"): r"a\.csv:2: found time '0:01'",
    ("a.csv", b'start,end,label\n0,1,"dog" x\n'): r"a\.csv:2: cannot be read",
    ("a.tsv", b"start\tend\tlabel\n0\t1\t\0\n"): r"a\.tsv:2: is not text",
    ("a.csv", b"start,end,label\n0,3,dog\n2,4,no dog\n"): r"a\.csv:3: contradicts line 2: from 2 s "
    "to 3 s one says dog",
    ("a.lab", b"0 1 a dog\n"): r"a\.lab:1: found 4 fields .*'start end label'",
}


@pytest.mark.parametrize(("name", "content"), REFUSED_EVENTS, ids=str)
def test_refused_events_with_file_and_line(name, content):
    with pytest.raises(InputError, match=REFUSED_EVENTS[name, content]) as caught:
        parse_labels(content, name, DOG)
    assert "\n" not in str(caught.value)


OTHER_TEXTS = {
    "lyrics.txt": b"Is this the real life?\n2 3 go\n",
    "empty.txt": b"",
    "lab.txt": b"0 1 sing\n",
    "pitch.csv": b"0.0,440\n0.01,441\n",
    "pitches.csv": b"time,frequency\n0.0,440\n",
    "tracks.tsv": b"track\tgenre\n7\tPop\n",
    "cover.csv": b"\x89PNG\0",
    "cover.jpg": b"0\t1\tdog\n",
}


@pytest.mark.parametrize("name", OTHER_TEXTS)
def test_texts_that_are_not_label_files(name):
    assert not is_label_file(name, OTHER_TEXTS[name])


def test_several_positive_labels_and_everything_else_negative():
    (target,) = targets_of(("Dog", "wolf"))
    assert target.name == "Dog or wolf"
    content = b"0\t1\tDOG\n2\t3\twolf\n2\t5\tsiren\n4\t5\tnot a dog\n"
    labels = frame_labels(parse_labels(content, "a.txt", target), 350)
    assert labels.tolist() == [frame // 70 in (0, 2) for frame in range(350)]


def test_other_words_than_sing_are_refused_in_lab_files_only():
    assert parse_labels(b"0\t1\tdog\n1\t2\tsing\n", "a.txt") == [(1, 2, True)]
    with pytest.raises(InputError, match=r"a\.lab:1: found label 'dog'.*--positive_label"):
        parse_labels(b"0 1 dog\n", "a.lab")


def test_jams():
    pytest.importorskip("jams")
    scaper = {"label": "Siren", "role": "foreground"}
    content = jams_file(
        [
            ("segment_open", [EVENTS[0]]),
            ("beat", [(0.5, 0.5, 1)]),
            ("scaper", [(*EVENTS[1][:2], scaper)]),
            ("tag_open", [EVENTS[2]]),
        ]
    )
    assert [event[:3] for event in read_events(content, "a.jams")] == EVENTS
    contradiction = jams_file([("segment_open", [(0, 2, "dog"), (1, 3, "nodog")])])
    with pytest.raises(
        InputError, match=r"a\.jams: observation 2: contradicts observation 1: from"
    ):
        parse_labels(contradiction, "a.jams", DOG)
    for damaged in (b"{", b"[]", b'{"annotations": 5}', content.replace(b"0.5", b'"x"')):
        with pytest.raises(InputError, match=r"a\.jams: is not a JAMS file") as caught:
            read_events(damaged, "a.jams")
        assert "\n" not in str(caught.value)


def test_jams_without_its_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"a\.jams: .* package jams.* pip install jams"):
        read_events(jams_file([]), "a.jams")
