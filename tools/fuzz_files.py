"""Damages files of every kind that is read, thousands of times, and sees what becomes of them.

    python tools/fuzz_files.py --count=1000
    python tools/fuzz_files.py --kinds=keras,npz --count=50 --seed=7

Each variant must be refused with one line, or read as what it was before (the damage hit bytes that
mean nothing). Anything else is a defect: other values, a traceback, a crash. Prints a table
and ends with status 1 if there was a defect. These are the figures of docs/reliability.md.
"""

import argparse
import collections
import os
import random
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from svdam.core.npz import read_npz, write_npz
from svdam.core.validation import InputError

REFUSED, HARMLESS = "refused", "read as before"
_EDGE_BYTES = 2048  # Headers and directories lie there.


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        path: A whole file; variants take its place.
        read: Reads it as a command does; returns something that tells all its values.
    """

    path: Path
    read: Callable[[], Hashable]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A variant: cut short, bits flipped, a stretch zeroed, doubled, removed or replaced."""
    way = rng.choice(("cut", "flip", "flip", "flip edge", "flip edge", "zero", "double", "remove",
                      "replace"))  # fmt: skip
    changed = bytearray(content)
    if way == "cut":
        return content[: rng.randrange(len(content))]
    if way.startswith("flip"):
        for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
            place = rng.randrange(len(content))
            if way == "flip edge":
                place = rng.randrange(min(_EDGE_BYTES, len(content))) * rng.choice((1, -1))
            changed[place] ^= 1 << rng.randrange(8)
        return bytes(changed)
    start = rng.randrange(len(content))
    stretch = content[start : start + rng.choice((1, 8, 100, 4096))]
    new = {
        "zero": bytes(len(stretch)),
        "double": 2 * stretch,
        "remove": b"",
        "replace": rng.randbytes(len(stretch)),
    }[way]
    return content[:start] + new + content[start + len(stretch) :]


def outcome(kind: Kind, expected: Hashable) -> str:
    """What reading the file at its path comes to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = kind.read()
    except InputError as error:
        return REFUSED if "\n" not in str(error) else f"several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return HARMLESS if found == expected else "other values"


def fuzz(
    kind: Kind, numbers: range, seed: int, tell: Callable[[int, str], None] = lambda *_: None
) -> collections.Counter[str]:
    """Tries the variants with these numbers; returns how often each outcome occurred."""
    content = kind.path.read_bytes()
    expected = kind.read()
    counts: collections.Counter[str] = collections.Counter()
    try:
        for number in numbers:
            kind.path.write_bytes(damaged(content, random.Random(f"{seed} {number}")))
            found = outcome(kind, expected)
            tell(number, found)
            counts[found] += 1
    finally:
        kind.path.write_bytes(content)
    return counts


def values_of(arrays: dict[str, np.ndarray]) -> Hashable:
    """Names, types, shapes and contents."""
    return tuple(
        (name, array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()
    )


def npz_kind(folder: Path) -> Kind:
    """An archive of arrays, as prediction files and networks of the original code are."""
    rng = np.random.RandomState(0)
    path = folder / "arrays.npz"
    write_npz(path, {"mean": rng.rand(80), "songs/a.mp3": rng.rand(400, 1).astype(np.float32)})
    return Kind(path, lambda: values_of(read_npz(path)))


def keras_kind(folder: Path) -> Kind:
    """A small classifier."""
    import keras

    from svdam.models.loading import load_model

    keras.utils.set_random_seed(0)
    excerpt = keras.Input((115, 80, 1))
    x = keras.layers.AveragePooling2D(9)(excerpt)
    x = keras.layers.Conv2D(4, 3, activation=keras.layers.LeakyReLU(0.01))(x)
    path = folder / "classifier.keras"
    keras.Model(excerpt, keras.layers.Dense(1)(keras.layers.Flatten()(x))).save(path)

    def read() -> Hashable:
        keras.backend.clear_session()
        model = load_model(path, "classifier")
        return str(model.get_config()), values_of({w.path: w.numpy() for w in model.weights})

    return Kind(path, read)


def results_kind(folder: Path) -> Kind:
    """Results of maximize_activation."""
    from svdam.evaluation.ranking import Configuration
    from svdam.results.examples import AMResults, read_results_file, write_results

    rng = np.random.RandomState(0)

    def values(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    histories = ("responses", "log_priors", "gradient_norms", "latent_norms")
    results = AMResults(
        configurations=[Configuration(0.1, 0.01, 5), Configuration(0.1, 0.01, 9)],
        response="logit",
        direction="max",
        seeds=np.arange(3),
        start_latents=values(3, 8),
        start_examples=values(3, 20, 10, 1),
        start_responses=values(3),
        latents=values(2, 3, 8),
        examples=values(2, 3, 20, 10, 1),
        responses=values(2, 3),
        log_priors=values(2, 3),
        history_rates=np.array([0.1]),
        history_weights=np.array([0.01]),
        **{f"history_{name}": values(1, 10, 3) for name in histories},
        provenance={"made": "for this"},
    )
    write_results(folder, results)

    def read() -> Hashable:
        found = vars(read_results_file(folder / "results.h5"))
        arrays = {name: item for name, item in found.items() if isinstance(item, np.ndarray)}
        others = {name: item for name, item in found.items() if name not in arrays}
        return values_of(arrays), str(others)

    return Kind(folder / "results.h5", read)


def card_kind(folder: Path) -> Kind:
    """A model card, next to its model's file.

    People write cards by hand, and nothing in one vouches for its texts: any sound card will do.
    """
    from svdam.core.front_end import FrontEnd
    from svdam.results.model_cards import ModelCard, read_model_card, write_model_card

    model = folder / "tagger.keras"
    model.write_bytes(b"the model")
    card = ModelCard(
        front_end=FrontEnd(num_mels=96, excerpt_frames=187),
        outputs="logits",
        output_names=("guitar", "female voice"),
        activation="sigmoid",
        licence="ISC",
    )
    path = write_model_card(model, card)

    def read() -> Hashable:
        found = read_model_card(model)
        return type(found).__name__

    return Kind(path, read)


def front_end_kind(folder: Path) -> Kind:
    """The JSON file of a front end; people write these by hand, too."""
    from svdam.audio.front_ends import FRONT_ENDS, get_front_end, write_front_end

    path = folder / "front_end.json"
    write_front_end(path, FRONT_ENDS["musicnn"])

    def read() -> Hashable:
        found = get_front_end(str(path))
        return type(found).__name__

    return Kind(path, read)


def records_kinds(folder: Path) -> dict[str, Kind]:
    """A shard and the manifest of a records folder, and the shard as a rerun looks at it."""
    import soundfile

    from svdam.data.records import open_records
    from svdam.data.shards import find_records, is_intact
    from svdam.stages.prepare_data import PrepareSettings, prepare_data

    rng = np.random.RandomState(0)
    for name in ("a", "b"):
        (folder / "music/train").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"music/train/{name}.wav", 0.1 * rng.normal(size=45000), 22050)
    output = folder / "records"
    prepare_data(
        PrepareSettings(output=str(output), dataset="folder", data_dir=str(folder / "music"))
    )
    shard = next(output.glob("*.tfrecord"))

    def read() -> Hashable:
        records = open_records(output)
        log_mels = {song.id: records.log_mel(song) for song in records.songs()}
        return records.fingerprint, values_of(log_mels), records.mean.tobytes()

    whole = {r.id: str(r.record) for found in find_records(str(output))[0].values() for r in found}

    def scan() -> Hashable:
        found, _ = find_records(str(output))
        intact = [one for same in found.values() for one in same if is_intact(one)]
        if {one.id: str(one.record) for one in intact}.items() <= whole.items():
            if len(intact) == len(whole):
                return "all"
            raise InputError("some records are made again")
        return "records with other values"

    return {
        "TFRecord shard": Kind(shard, read),
        "records' manifest.json": Kind(output / "manifest.json", read),
        "TFRecord shard, run again": Kind(shard, scan),
    }


_MAKERS = {
    "npz": npz_kind,
    "keras": keras_kind,
    "h5": results_kind,
    "card": card_kind,
    "front_end": front_end_kind,
}
_OF_RECORDS = ("shard", "manifest", "rerun")
KINDS = (*_MAKERS, *_OF_RECORDS)


def make_kind(name: str, folder: Path) -> Kind:
    """A whole file of a kind, in an empty folder."""
    if name in _MAKERS:
        return _MAKERS[name](folder)
    return dict(zip(_OF_RECORDS, records_kinds(folder).values(), strict=True))[name]


def _serve(name: str, first: int, count: int, seed: int) -> None:
    """Tries variants, in a process that may crash; prints number and outcome of each."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        kind = make_kind(name, Path(folder))
        print("ready", flush=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        def tell(number: int, found: str) -> None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(number, max(0, peak - before) // 1024, found, sep="\t", flush=True)

        fuzz(kind, range(first, count), seed, tell)


def _tries(name: str, count: int, seed: int) -> tuple[collections.Counter[str], int]:
    """Outcomes of all variants, crashes and hangs among them, and the memory they took, in MiB."""
    counts: collections.Counter[str] = collections.Counter()
    number, memory = 0, 0
    while number < count:
        arguments = [name, str(number), str(count), str(seed)]
        child = subprocess.Popen(
            [sys.executable, __file__, "--serve", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for line in child.stdout:
            if line != "ready\n":
                tried, mebibytes, found = line.rstrip("\n").split("\t", 2)
                number, memory = int(tried) + 1, max(memory, int(mebibytes))
                counts[found] += 1
                if found not in (REFUSED, HARMLESS):
                    print(f"  {name}, seed {seed}, variant {tried}: {found}", flush=True)
        if child.wait():
            print(f"  {name}, seed {seed}, variant {number}: status {child.returncode}")
            counts[f"ended with status {child.returncode}"] += 1
            number += 1
    return counts, memory


def main() -> None:
    """Tries all kinds and prints a table."""
    if sys.argv[1:2] == ["--serve"]:
        name, *numbers = sys.argv[2:]
        _serve(name, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="variants of each kind")
    parser.add_argument("--seed", type=int, default=0, help="names the variants")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    arguments = parser.parse_args()
    defects = 0
    for name in arguments.kinds.split(","):
        counts, memory = _tries(name, arguments.count, arguments.seed)
        bad = sum(counts.values()) - counts[REFUSED] - counts[HARMLESS]
        defects += bad
        print(
            f"{name:>8}: {sum(counts.values())} variants, {counts[REFUSED]} refused, "
            f"{counts[HARMLESS]} read as before, {bad} defects; {memory} MiB beyond the start",
            flush=True,
        )
    sys.exit(1 if defects else 0)


if __name__ == "__main__":
    main()
