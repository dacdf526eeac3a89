"""`prepare_data` as a library: a data set's songs become a records folder.

A records folder is a run folder with shards ``<split>-00000-of-00004.tfrecord`` of whole songs and
``manifest.json``; with ``storage`` the shards and a copy of the manifest lie elsewhere, as in an
object store. Running again takes over every record whose audio, labels and settings are the same,
by content, and recomputes the others; ``audio_checksums.json`` saves reading unchanged audio again.
The result does not depend on the number of workers, on the order of the work, or on how often it
was interrupted.
"""

import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdam.audio.front_ends import FRONT_ENDS, front_end_name
from svdam.core import storage
from svdam.core.files import write_json
from svdam.core.front_end import FrontEnd
from svdam.core.processors import available_processors
from svdam.core.runs import locked_folder, start_run
from svdam.core.settings import Settings, setting
from svdam.core.summaries import Summaries, tensorboard_command
from svdam.core.validation import InputError
from svdam.data import shards
from svdam.data.audio_checksums import AudioChecksums
from svdam.data.finished_records import finished_records
from svdam.data.manifest import MANIFEST_NAME, build_manifest
from svdam.data.overview import summary_lines, write_summaries
from svdam.data.pipeline import Engine, run_shards, run_songs
from svdam.data.records import Records
from svdam.data.shards import UNFINISHED, FinishedRecord
from svdam.data.songs import DTYPES
from svdam.datasets.fma import FMA_SPLITS, SUBSETS, list_fma
from svdam.datasets.folder import SPLIT_METHODS, check_ratios, list_folder
from svdam.datasets.jamendo import list_jamendo
from svdam.datasets.labels import SING, Target, require_targets, targets_of
from svdam.datasets.sources import SkippedSong, SourceListing, plain_text
from svdam.datasets.stems import MixSettings, list_stems, stem_target
from svdam.stages.front_ends import named_front_end
from svdam.stages.song_checks import check_songs, require_labels_occur

if TYPE_CHECKING:
    from svdam.corpus.demo_corpus import CorpusSettings

DATASETS = ("builtin", "jamendo", "fma", "folder", "stems")
_AUDIO_CHECKSUMS = "audio_checksums.json"


@dataclasses.dataclass(frozen=True)
class PrepareSettings(Settings):
    """Settings of `prepare_data`."""

    output: str = setting("runs/data", "Run folder to write.", path=True, identity=False)
    dataset: str = setting("builtin", "Kind of data set.", choices=DATASETS)
    data_dir: str | None = setting(
        None, "Folder or URL of the data set (not for builtin).", path=True, identity=False
    )
    storage: str | None = setting(
        None,
        "Folder or URL (s3://bucket/folder) for the shards. The default is the run folder.",
        path=True,
    )
    front_end: str = setting(
        "ismir2015",
        f"Front end of the log-mel spectrograms: {', '.join(FRONT_ENDS)}, or a .json file. All "
        "later stages take it from the records.",
        path=True,
    )
    dtype: str = setting(
        "float32", "Number type of the stored log-mel spectrograms.", choices=tuple(DTYPES)
    )
    positive_label: tuple[str, ...] = setting(
        (SING.name,),
        "jamendo, folder, stems: labels of what is to be detected; all others are negative. With "
        "stems, the default is that of --positive_stem.",
    )
    labels: tuple[str, ...] = setting(
        (),
        "jamendo, folder: labels that are to be detected each by itself and may occur at the same "
        "time, instead of --positive_label.",
    )
    shard_megabytes: float = setting(
        256.0, "Maximum size of a shard in MB, which a single song may exceed.", above=0
    )
    strict: bool = setting(False, "Stop with an error if a song cannot be used.", identity=False)
    num_songs: int = setting(60, "builtin: number of songs to render.", minimum=3)
    song_secs: float = setting(20.0, "builtin: length of each song in seconds.", minimum=3)
    corpus_seed: int = setting(0, "builtin: random seed of the rendered songs.", minimum=0)
    fma_genre: str = setting("Pop", "fma: top-level genre, or 'all'.")
    fma_subset: str = setting("full", "fma: subset whose audio folder is read.", choices=SUBSETS)
    fma_splits: tuple[str, ...] = setting(
        tuple(FMA_SPLITS), "fma: splits of FMA to use.", choices=tuple(FMA_SPLITS)
    )
    fma_all_train: bool = setting(
        False, "fma: put all tracks into the split 'train', e.g. to train a GAN on all of them."
    )
    split_by: str = setting(
        "auto", "folder, stems: method that assigns songs to splits.", choices=SPLIT_METHODS
    )
    split_lists: str | None = setting(
        None, "folder, stems: folder with the lists train, valid, test.", path=True, identity=False
    )
    split_ratios: tuple[float, ...] = setting(
        (0.8, 0.1, 0.1), "folder, stems: shares of train, valid and test.", minimum=0
    )
    split_seed: int = setting(0, "folder, stems: seed of the assignment by ratios.")
    positive_stem: str = setting(
        "voice",
        "stems: name of the stem that is to be detected, and its label; voice and vocals have the "
        "label sing.",
    )
    backing_stem: tuple[str, ...] = setting(
        ("backing",), "stems: names of the stems whose sum is the backing."
    )
    remix: int = setting(
        0,
        "stems: number of additional mixes of each voice with other backings of its split.",
        minimum=0,
    )
    level_db: tuple[float, ...] = setting(
        (-6.0, 9.0), "stems: lowest and highest level of the voice relative to the backing, in dB."
    )
    loudness_db: tuple[float, ...] = setting(
        (-26.0, -12.0), "stems: lowest and highest RMS of a song, in dB relative to full scale."
    )
    mix_seed: int = setting(0, "stems: seed of levels, loudnesses and backings.")
    num_workers: int = setting(
        0,
        "Number of decoding processes (per Beam worker); 0 for one per CPU core.",
        minimum=0,
        identity=False,
    )
    song_timeout: float = setting(
        8.0,
        "Time limit per song in seconds, in addition to 4 s per megabyte of its file.",
        above=0,
        identity=False,
    )
    beam_runner: str | None = setting(
        None,
        "Apache Beam runner that prepares the songs in its workers. By default, this machine "
        "prepares them.",
        identity=False,
    )
    beam_options: tuple[str, ...] = setting(
        (), "Options of the Beam runner, in the form --name=value.", identity=False
    )

    def validate(self) -> None:
        """Checks that paths are given where the data set needs them."""
        if self.dataset != "builtin" and not self.data_dir:
            raise InputError(f"--data_dir: is not given, --dataset={self.dataset} needs it")
        if self.dataset == "builtin" and self.data_dir:
            raise InputError("--data_dir: --dataset=builtin has none; specify the kind of data set")
        for field in dataclasses.fields(self):
            kinds = field.metadata["help"].split(":")[0].split(", ")
            foreign = set(kinds) <= set(DATASETS) and self.dataset not in kinds
            if foreign and getattr(self, field.name) != field.default:
                expected = " or ".join(kinds)
                raise InputError(f"--{field.name}: is for --dataset={expected}, not {self.dataset}")
        require_targets(self.positive_label, self.labels)
        if self.dataset in ("folder", "stems"):
            check_ratios(self.split_ratios)
        for name in ("level_db", "loudness_db"):
            limits = getattr(self, name)
            if len(limits) != 2 or limits[0] > limits[1]:
                found = ",".join(f"{limit:g}" for limit in limits)
                raise InputError(
                    f"--{name}: found {found}, expected the lowest and the highest value"
                )
        if self.split_by == "lists" and not self.split_lists:
            raise InputError("--split_lists: is not given, --split_by=lists needs it")
        if self.split_lists and self.split_by not in ("auto", "lists"):
            raise InputError(f"--split_lists: contradicts --split_by={self.split_by}")
        if self.beam_options and self.beam_runner is None:
            raise InputError("--beam_options: requires --beam_runner")
        if storage.is_remote(self.output):
            raise InputError(
                f"--output: found {self.output!r}, expected a local folder; "
                "specify the object store with --storage, and keep the run folder on this machine"
            )

    @property
    def corpus(self) -> "CorpusSettings":
        """Size and seed of the built-in corpus."""
        from svdam.corpus.demo_corpus import CorpusSettings  # Takes half a second to load.

        return CorpusSettings(self.num_songs, self.song_secs, self.corpus_seed)

    @property
    def mixing(self) -> MixSettings:
        """How stems become songs."""
        return MixSettings(
            self.positive_stem.lower(),
            tuple(stem.lower() for stem in self.backing_stem),
            self.remix,
            self.level_db,
            self.loudness_db,
            self.mix_seed,
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        """What the labels say: one target, or each of ``labels``."""
        if self.dataset == "stems" and self.positive_label == (SING.name,):
            return (stem_target(self.positive_stem.lower()),)
        return targets_of(self.positive_label, self.labels)

    @property
    def engine(self) -> Engine:
        """How the work is done, which does not change the result."""
        return Engine(
            self.num_workers or available_processors(),
            self.song_timeout,
            self.beam_runner,
            self.beam_options,
        )


def prepare_data(settings: PrepareSettings) -> dict[str, Any]:
    """Prepares the records of a data set and says what came out; see `prepare_records`."""
    manifest = prepare_records(settings)
    print("\n".join(summary_lines(manifest)))
    print(f"front end: {front_end_name(FrontEnd(**manifest['front_end']))}")
    print(f"records: {settings.output}")
    if settings.storage:
        print(f"shards: {settings.storage}")
    print(f"watch it with: {tensorboard_command(settings.output)}")
    return manifest


def prepare_records(settings: PrepareSettings, corpus: Path | None = None) -> dict[str, Any]:
    """Prepares the records of a data set.

    Args:
        settings: What to prepare and where to.
        corpus: Folder of the built-in corpus, if it has been rendered already.

    Returns:
        The manifest.

    Raises:
        InputError: If no song could be used, or none of the listed ones of the split ``train``; if
            a song could not and ``strict`` is set; or if the data set cannot be read.
    """
    front_end = named_front_end(settings.front_end)
    inputs = {}
    if settings.front_end not in FRONT_ENDS:  # Its file may change.
        inputs["front_end_fields"] = front_end.to_dict()
    with (
        start_run(settings.output, "prepare_data", settings, inputs) as run,
        _locked_storage(settings),
    ):
        listing = list_songs(settings) if corpus is None else list_jamendo(str(corpus))
        listing = listing.with_targets(settings.targets)
        flag = "labels" if settings.labels else "positive_label"
        # Stems say where they are heard: label files are an exception, and there are two words.
        labels = () if settings.dataset == "stems" else settings.labels or settings.positive_label
        require_labels_occur(listing.songs, labels, flag)
        try:
            manifest = _prepare_songs(listing, run.folder, settings, front_end)
        finally:  # Last, next to the numbers of songs, not above the progress of hours.
            for message in listing.warnings:
                print(f"warning: {plain_text(message)}", file=sys.stderr)
        records = Records(settings.storage or run.folder, manifest)
        with Summaries(run.tensorboard, replace=True) as summaries:
            summaries.configuration(run.config)
            write_summaries(summaries, records)
        run.mark_complete({"counts": manifest["counts"], "skipped": len(manifest["skipped"])})
    return manifest


def _prepare_songs(
    listing: SourceListing, run_folder: Path, settings: PrepareSettings, front_end: FrontEnd
) -> dict[str, Any]:
    root = str(settings.storage or run_folder)
    records, skipped = _make_records(listing, root, run_folder, settings, front_end)
    place = settings.data_dir or settings.dataset
    check_songs(listing, records, skipped, place, settings.strict, not settings.fma_all_train)
    manifest = _put_in_place(listing, records, skipped, root, settings, front_end)
    if settings.storage:
        place = root if storage.is_remote(root) else os.path.abspath(root)
        write_json(run_folder / MANIFEST_NAME, {**manifest, "storage": place})
    return manifest


def _locked_storage(settings: PrepareSettings) -> contextlib.AbstractContextManager:
    """Keeps a second run out of a storage folder on this machine; object stores have no locks."""
    place = settings.storage
    if (
        not place
        or storage.is_remote(place)
        or Path(place).resolve() == Path(settings.output).resolve()
    ):
        return contextlib.nullcontext()
    return locked_folder(Path(place), "storage")


def list_songs(settings: PrepareSettings) -> SourceListing:
    """The songs of the data set that the settings name."""
    if settings.dataset == "jamendo":
        return list_jamendo(settings.data_dir)
    if settings.dataset == "fma":
        return list_fma(
            settings.data_dir,
            settings.fma_genre,
            settings.fma_subset,
            settings.fma_splits,
            settings.fma_all_train,
        )
    splits = settings.split_by, settings.split_lists, settings.split_ratios, settings.split_seed
    if settings.dataset == "folder":
        return list_folder(settings.data_dir, *splits)
    if settings.dataset == "stems":
        return list_stems(settings.data_dir, settings.mixing, *splits)
    from svdam.corpus.cache import rendered_corpus

    return list_jamendo(str(rendered_corpus(settings.corpus)))


def _make_records(
    listing: SourceListing,
    root: str,
    run_folder: Path,
    settings: PrepareSettings,
    front_end: FrontEnd,
) -> tuple[dict[str, FinishedRecord], list[SkippedSong]]:
    """Finds or makes the record of each song."""
    shards.set_aside_shards(root)
    checksums = AudioChecksums(run_folder / _AUDIO_CHECKSUMS)
    records = finished_records(listing.songs, root, settings.dtype, front_end, checksums)
    songs = {song.id: song for song in listing.songs if song.id not in records}
    # Mixes with the same backing follow each other: it is decoded once.
    in_order = sorted(songs.values(), key=lambda song: song.others)
    shards.remove_attempts(songs, root)
    run_songs(in_order, root, settings.dtype, front_end, settings.engine)
    made, reasons = shards.read_attempts(songs, root)
    skipped = list(listing.skipped)
    for song in in_order:
        if song.id in made:
            records[song.id] = made[song.id]
        else:
            reason = reasons.get(song.id, f"{song.audio}: its record is missing")
            skipped.append(SkippedSong(song.id, song.split, reason))
    checksums.save(listing.songs, records)
    skipped = [dataclasses.replace(song, reason=plain_text(song.reason)) for song in skipped]
    return records, sorted(skipped, key=lambda song: (song.split, song.id))


def _put_in_place(
    listing: SourceListing,
    records: dict[str, FinishedRecord],
    skipped: list[SkippedSong],
    root: str,
    settings: PrepareSettings,
    front_end: FrontEnd,
) -> dict[str, Any]:
    """Writes shards and manifest, and removes what is no longer needed."""
    pairs = [(song.split, records[song.id]) for song in listing.songs if song.id in records]
    plans = shards.plan_shards(pairs, round(settings.shard_megabytes * 1e6))
    changed = [plan for plan in plans if not shards.is_in_place(plan, root)]
    run_shards(changed, root, settings.engine)
    if changed:  # From here on, shards and an older manifest may differ.
        storage.remove(storage.join(root, MANIFEST_NAME))
    for plan in changed:
        for suffix in (shards.CHECKSUM_SUFFIX, ""):
            written = storage.join(root, UNFINISHED, plan.name + suffix)
            storage.rename(written, storage.join(root, plan.name + suffix))
    manifest = build_manifest(plans, skipped, root, settings.dtype, front_end)
    with storage.writing(storage.join(root, MANIFEST_NAME)) as stream:
        text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
        stream.write(text.encode() + b"\n")
    wanted = {plan.name for plan in plans}
    for name in storage.list_names(root):
        if name.removesuffix(shards.CHECKSUM_SUFFIX) not in wanted and (
            name.endswith((shards.SHARD_SUFFIX, shards.SHARD_SUFFIX + shards.CHECKSUM_SUFFIX))
        ):
            storage.remove(storage.join(root, name))
    storage.remove(storage.join(root, UNFINISHED))
    return manifest
