"""Parsers of what others write: any bytes give a result or one clear line, and never a crash."""

import csv
import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svdam.core.config import FRONT_END
from svdam.core.runs import open_run
from svdam.core.validation import InputError
from svdam.data.manifest import build_manifest, manifest_checksum, require_sound
from svdam.datasets.fma import FMA_SPLITS, Track, read_tracks
from svdam.datasets.label_files import is_label_file
from svdam.datasets.labels import frame_labels, parse_labels
from svdam.datasets.sources import SPLITS, SkippedSong, SourceSong, read_list, songs_of_lists
from svdam.explain.responses import Term, parse_response
from svdam.explain.starts import parse_seeds
from svdam.results.model_cards import ModelCard, read_model_card, write_model_card

often = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Text with what parsers stumble over more often than chance would have it.
tricky = st.text(st.one_of(st.characters(), st.sampled_from("\n\r\t ,;:#\"'+-*.0123456789eE\0")))


def one_line_or(result):
    """The result of a call, or None if it was refused with one line."""
    try:
        return result()
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        return None


FORMS = {
    ".lab": "{start:.3f} {end:.3f} {label}",
    " tabs.lab": "{start:.3f}\t{end:.3f}\t{label}",
    " commas.lab": "{start:.3f},{end:.3f},{label}",
    ".txt": "{start:.6f}\t{end:.6f}\t{label}",
    ".csv": "{label},{start:.3f},{end:.3f}",
    ".tsv": "{start:.3f}\t{length:.6f}\t{label}",
}
HEADERS = {".csv": "label,onset,offset", ".tsv": "Start (s)\tDuration (s)\tEvent"}


@often
@given(
    st.sampled_from([*FORMS]),
    st.booleans(),
    st.one_of(st.binary(), tricky.map(lambda text: text.encode("utf-8", "surrogatepass"))),
)
def test_labels_of_any_bytes(suffix, has_header, content):
    header = f"{HEADERS[suffix]}\n".encode() if has_header and suffix in HEADERS else b""
    segments = one_line_or(lambda: parse_labels(header + content, f"x{suffix}"))
    if segments is not None:
        assert all(0 <= s.start_secs <= s.end_secs for s in segments)
    assert is_label_file(f"x{suffix}", header + content) or not header or b"\0" in content


@st.composite
def segment_lists(draw):
    """Segments that touch or leave gaps, in milliseconds."""
    edges = sorted(draw(st.lists(st.integers(0, 20_000), min_size=2, max_size=12, unique=True)))
    pairs = list(itertools.pairwise(edges))
    kept = [pair for pair in pairs if draw(st.booleans())] or pairs[:1]
    return [(start, end, draw(st.booleans())) for start, end in kept]


@often
@given(segment_lists(), st.randoms(), st.sampled_from(["\n", "\r\n"]), st.sampled_from([*FORMS]))
def test_labels_in_any_order_and_form_mean_the_same(segments, rng, newline, suffix):
    lines = [
        FORMS[suffix].format(
            start=start / 1000,
            end=end / 1000,
            length=(end - start) / 1000,
            label="sing" if sings else "nosing",
        )
        for start, end, sings in segments
    ]
    rng.shuffle(lines)
    lines = [HEADERS[suffix], *lines] if suffix in HEADERS else lines
    found = parse_labels(newline.join(lines).encode(), f"x{suffix}")
    labels = frame_labels(found, 1500)
    for frame in range(0, 1500, 7):
        time_secs = frame / FRONT_END.frames_per_second
        expected = any(s / 1000 <= time_secs < e / 1000 for s, e, sings in segments if sings)
        assert labels[frame] == expected


@often
@given(tricky)
def test_responses_of_any_text(text):
    terms = one_line_or(lambda: parse_response(text))
    if terms is not None:
        assert parse_response(" + ".join(map(str, terms)).replace("+ -", "- ")) is not None


terms = st.builds(
    Term,
    st.floats(-1e6, 1e6).map(lambda x: float(f"{x:g}")),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_./]{0,12}", fullmatch=True),
    st.one_of(st.none(), st.integers(0, 10**6)),
)


@often
@given(st.lists(terms, min_size=1, max_size=5))
def test_responses_come_back_as_they_were_written(expected):
    text = " ".join(
        f"{'-' if term.weight < 0 else '+'} {abs(term.weight):g} * {term.layer}"
        + ("" if term.unit is None else f":{term.unit}")
        for term in expected
    )
    found = parse_response(text)
    assert [(t.layer, t.unit) for t in found] == [(t.layer, t.unit) for t in expected]
    np.testing.assert_allclose([t.weight for t in found], [t.weight for t in expected], rtol=1e-5)


@often
@given(tricky)
def test_seeds_of_any_text(text):
    seeds = one_line_or(lambda: parse_seeds(text))
    if seeds is not None:
        assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**32 for seed in seeds)


@often
@given(st.lists(st.integers(0, 500), min_size=1, max_size=20, unique=True))
def test_seeds_come_back_as_they_were_written(seeds):
    assert parse_seeds(",".join(map(str, seeds))) == seeds


HEADER = [
    ["", "set", "set", "track", "track"],
    ["", "split", "subset", "genre_top", "title"],
    ["track_id", "", "", "", ""],
]
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
rows = st.tuples(st.integers(0, 999_999), st.sampled_from(sorted(FMA_SPLITS)), cells, cells, cells)


def table(lines):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([*HEADER, *lines])
    return stream.getvalue().encode()


@often
@given(st.lists(rows, max_size=8))
def test_fma_tables_come_back_as_they_were_written(tmp_path, lines):
    (tmp_path / "tracks.csv").write_bytes(table(lines))
    found = list(read_tracks(str(tmp_path / "tracks.csv")))
    assert [track[:4] for track in found] == [
        (number, genre.strip(), subset.strip(), split) for number, split, subset, genre, _ in lines
    ]
    assert all(isinstance(track, Track) for track in found)


@often
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 60))
def test_fma_tables_that_are_damaged(tmp_path, patch, start, length):
    content = table([(n, "training", "small", "Pop", 'a "title"') for n in range(8)])
    damaged = content[:start] + patch + content[start + length :]
    (tmp_path / "tracks.csv").write_bytes(damaged)
    one_line_or(lambda: list(read_tracks(str(tmp_path / "tracks.csv"))))


@often
@given(st.one_of(st.binary(), tricky.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_file_lists_of_any_bytes(tmp_path, content):
    (tmp_path / "train").write_bytes(content)
    names = one_line_or(lambda: read_list(str(tmp_path / "train")))
    if names is not None:
        assert all(name and name == name.strip() for _, name in names)


names = st.one_of(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=20
    ),
    st.sampled_from(["../a.wav", "a/../../b.wav", "/etc/passwd", "..", "a..wav", "é/ü.mp3"]),
)


@often
@given(st.lists(names, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_file_lists_keep_names_and_refuse_ways_out(tmp_path, listed, newline):
    for split in SPLITS:
        (tmp_path / split).write_text("", "utf-8")
    (tmp_path / "train").write_bytes(newline.join(listed).encode())

    def find(name, split, place):
        return SourceSong(name, split, name, name)

    listing = songs_of_lists(str(tmp_path), find)
    kept = [name for name in dict.fromkeys(listed) if not leads_out(name)]
    assert [song.id for song in listing.songs] == kept
    assert len(listing.songs) + len(listing.skipped) == len(listed)
    assert all(isinstance(song, SkippedSong) for song in listing.skipped)


def leads_out(name):
    return name.startswith("/") or ".." in name.split("/")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """Paths to all values within nested lists and dicts."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from places(item, (*path, key))


def mutated(draw, value):
    """A copy with one value replaced by another one."""
    value = json.loads(json.dumps(value))
    path = draw(st.sampled_from([path for path in places(value) if path]))
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = draw(json_values)
    return value


@pytest.fixture(scope="module")
def manifest():
    """A manifest of one song."""
    found = build_manifest([], [SkippedSong("x", "train", "why")], "", "float32", FRONT_END)
    shard = {"name": "train-00000-of-00001.tfrecord", "split": "train", "songs": 1,
             "bytes": 90_000, "sha256": "0"}  # fmt: skip
    song = {"id": "a", "split": "train", "source": "a.wav", "duration_secs": 2.0,
            "num_frames": 200, "has_labels": True, "shard": shard["name"], "offset": 900,
            "crc32": 1, "labels_offset": 600, "labels_crc32": 1, "fingerprint": "f"}  # fmt: skip
    found |= {"shards": [shard], "songs": [song], "mean": [0.0] * 80, "std": [1.0] * 80}
    found["counts"]["train"] = {
        "songs": 1, "labelled_songs": 1, "frames": 200, "hours": round(2 / 3600, 6)
    }  # fmt: skip
    return found | {"checksum": manifest_checksum(found)}


def test_the_manifest_itself_is_sound(manifest):
    require_sound(manifest)


@often
@given(st.data())
def test_manifests_with_one_other_value(manifest, data):
    other = mutated(data.draw, manifest)
    same = json.dumps(other, sort_keys=True) == json.dumps(manifest, sort_keys=True)
    if not same and other["checksum"] == manifest["checksum"]:
        with pytest.raises(InputError):
            require_sound(other)
    # Who writes a manifest on purpose makes the checksum fit.
    one_line_or(lambda: require_sound(other | {"checksum": manifest_checksum(other)}))


@often
@given(st.data())
def test_configurations_of_runs_with_one_other_value(tmp_path, data):
    config = {"format": 1, "command": "train_gan", "settings": {"seed": 0}, "inputs": {"a": "b"}}
    (tmp_path / "config.json").write_text(json.dumps(mutated(data.draw, config)))
    (tmp_path / "complete.json").write_text("{}")
    one_line_or(lambda: open_run(tmp_path, "train_gan", "generator"))


CARD = {
    "format": 1, "front_end": {"base": "yamnet", "num_mels": 37, "centered": True},
    "excerpt_shape": [50, 37], "outputs": "logits", "output_names": ["dog", "siren"],
    "activation": "sigmoid", "licence": "MIT", "checksum": "0" * 64,
}  # fmt: skip


@settings(often, max_examples=1000)
@given(st.data())
def test_model_cards_with_one_other_value(tmp_path, data):
    place = tmp_path / "tagger.json"
    place.write_text(json.dumps(mutated(data.draw, CARD)))
    card = one_line_or(lambda: read_model_card(place))
    if card is not None:
        assert isinstance(card, ModelCard)
        (tmp_path / "other.keras").write_bytes(b"model")
        again = read_model_card(write_model_card(tmp_path / "other.keras", card))
        assert dataclasses.replace(again, checksum=card.checksum) == card
