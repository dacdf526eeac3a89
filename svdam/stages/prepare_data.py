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

from svdam.core import storage
from svdam.core.beam import DIRECT_RUNNER
from svdam.core.config import FRONT_END
from svdam.core.files import write_json
from svdam.core.progress import progress
from svdam.core.runs import locked_folder, start_run
from svdam.core.settings import Settings, setting
from svdam.core.tensorflow_io import load_tensorflow_io
from svdam.core.validation import InputError, quoted_list
from svdam.data import shards
from svdam.data.manifest import MANIFEST_NAME, build_manifest
from svdam.data.pipeline import Engine, run_shards, run_songs
from svdam.data.shards import UNFINISHED, FinishedRecord
from svdam.data.songs import DECODERS, DTYPES, SongTask, file_sha256, song_fingerprint
from svdam.datasets.fma import FMA_SPLITS, SUBSETS, list_fma
from svdam.datasets.folder import SPLIT_METHODS, check_ratios, list_folder
from svdam.datasets.jamendo import list_jamendo
from svdam.datasets.sources import SPLITS, SkippedSong, SourceListing, SourceSong, plain_text

if TYPE_CHECKING:
    from svdam.corpus.demo_corpus import CorpusSettings

DATASETS = ("builtin", "jamendo", "fma", "folder")
_AUDIO_CHECKSUMS = "audio_checksums.json"


@dataclasses.dataclass(frozen=True)
class PrepareSettings(Settings):
    """Settings of `prepare_data`."""

    output: str = setting("runs/data", "Run folder to write.", path=True, identity=False)
    dataset: str = setting("builtin", "Kind of data set.", choices=DATASETS)
    data_dir: str | None = setting(
        None, "Folder or URL of the data set. Not for builtin.", path=True, identity=False
    )
    storage: str | None = setting(
        None,
        "Folder or URL (s3://bucket/folder) for the shards; the run folder by default.",
        path=True,
    )
    dtype: str = setting("float32", "Number type of the stored log-mel.", choices=tuple(DTYPES))
    decoder: str = setting(
        DECODERS[0],
        "Decoder: soundfile, or tensorflow-io's (WAV, FLAC, OGG Vorbis, MP3).",
        choices=DECODERS,
        identity=False,  # Part of each record's fingerprint: another decoder's are made anew.
    )
    shard_megabytes: float = setting(256.0, "Largest shard in MB, but for a song.", above=0)
    strict: bool = setting(False, "Whether a song that cannot be used is an error.", identity=False)
    num_songs: int = setting(60, "builtin: number of songs to render.", minimum=3)
    song_secs: float = setting(20.0, "builtin: length of a song in seconds.", minimum=3)
    corpus_seed: int = setting(0, "builtin: seed of the rendered songs.", minimum=0)
    fma_genre: str = setting("Pop", "fma: top genre, or 'all'.")
    fma_subset: str = setting("full", "fma: subset, whose audio folder is read.", choices=SUBSETS)
    fma_splits: tuple[str, ...] = setting(
        tuple(FMA_SPLITS), "fma: FMA's own splits to take.", choices=tuple(FMA_SPLITS)
    )
    fma_all_train: bool = setting(
        False, "fma: put all tracks into the split 'train', for a GAN that uses them all."
    )
    split_by: str = setting(
        "auto", "folder: how songs are assigned to splits.", choices=SPLIT_METHODS
    )
    split_lists: str | None = setting(
        None, "folder: folder with the lists train, valid, test.", path=True, identity=False
    )
    split_ratios: tuple[float, ...] = setting(
        (0.8, 0.1, 0.1), "folder: shares of train, valid and test.", minimum=0
    )
    split_seed: int = setting(0, "folder: names the assignment by ratios.")
    num_workers: int = setting(
        0,
        "Decoding processes (of each Beam worker); 0: one a processor.",
        minimum=0,
        identity=False,
    )
    song_timeout: float = setting(
        8.0,
        "Seconds a song may take, beside 4 s for each megabyte of its file.",
        above=0,
        identity=False,
    )
    beam_runner: str = setting(DIRECT_RUNNER, "Apache Beam runner.", identity=False)
    beam_options: tuple[str, ...] = setting(
        (), "Options of the Beam runner, as --name=value.", identity=False
    )

    def validate(self) -> None:
        """Checks that paths are given where the data set needs them."""
        if self.dataset != "builtin" and not self.data_dir:
            raise InputError(f"--data_dir: is not given, --dataset={self.dataset} needs it")
        if self.dataset == "builtin" and self.data_dir:
            raise InputError("--data_dir: --dataset=builtin has none; name the kind of data set")
        for field in dataclasses.fields(self):
            kind = field.metadata["help"].split(":")[0]
            foreign = kind in DATASETS and kind != self.dataset
            if foreign and getattr(self, field.name) != field.default:
                raise InputError(f"--{field.name}: is for --dataset={kind}, not {self.dataset}")
        if self.dataset == "folder":
            check_ratios(self.split_ratios)
        if self.split_by == "lists" and not self.split_lists:
            raise InputError("--split_lists: is not given, --split_by=lists needs it")
        if self.split_lists and self.split_by not in ("auto", "lists"):
            raise InputError(f"--split_lists: contradicts --split_by={self.split_by}")
        if storage.is_remote(self.output):
            raise InputError(
                f"--output: found {self.output!r}, expected a local folder; "
                "name the object store by --storage, and keep the run folder here"
            )

    @property
    def corpus(self) -> "CorpusSettings":
        """Size and seed of the built-in corpus."""
        from svdam.corpus.demo_corpus import CorpusSettings  # Takes half a second to load.

        return CorpusSettings(self.num_songs, self.song_secs, self.corpus_seed)

    @property
    def engine(self) -> Engine:
        """How the work is done, which does not change the result."""
        return Engine(
            self.num_workers or len(os.sched_getaffinity(0)),
            self.song_timeout,
            self.decoder,
            self.beam_runner,
            self.beam_options,
        )


def prepare_data(settings: PrepareSettings, corpus: Path | None = None) -> dict[str, Any]:
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
    if settings.decoder == "tfio":
        load_tensorflow_io("--decoder=tfio")
    with start_run(settings.output, "prepare_data", settings) as run, _locked_storage(settings):
        listing = list_songs(settings) if corpus is None else list_jamendo(str(corpus))
        try:
            manifest = _prepare_songs(listing, run.folder, settings)
        finally:  # Last, next to the numbers of songs, not above the progress of hours.
            for message in listing.warnings:
                print(f"warning: {plain_text(message)}", file=sys.stderr)
        run.mark_complete({"counts": manifest["counts"], "skipped": len(manifest["skipped"])})
    return manifest


def _prepare_songs(
    listing: SourceListing, run_folder: Path, settings: PrepareSettings
) -> dict[str, Any]:
    root = str(settings.storage or run_folder)
    records, skipped = _make_records(listing, root, run_folder, settings)
    _check_songs(listing, records, skipped, settings)
    manifest = _put_in_place(listing, records, skipped, root, settings)
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
    if settings.dataset == "folder":
        return list_folder(
            settings.data_dir,
            settings.split_by,
            settings.split_lists,
            settings.split_ratios,
            settings.split_seed,
        )
    from svdam.corpus.cache import rendered_corpus

    return list_jamendo(str(rendered_corpus(settings.corpus)))


def _make_records(
    listing: SourceListing, root: str, run_folder: Path, settings: PrepareSettings
) -> tuple[dict[str, FinishedRecord], list[SkippedSong]]:
    """Finds or makes the record of each song."""
    shards.set_aside_shards(root)
    checksums = _AudioChecksums(run_folder / _AUDIO_CHECKSUMS)
    records = _finished_records(listing, root, settings, checksums)
    songs = {song.id: song for song in listing.songs if song.id not in records}
    tasks = [_task(song, root, settings) for song in songs.values()]
    shards.remove_attempts(songs, root)
    run_songs(tasks, root, settings.engine)
    made, reasons = shards.read_attempts(songs, root)
    skipped = list(listing.skipped)
    for task in tasks:
        if task.id in made:
            records[task.id] = made[task.id]
        else:
            reason = reasons.get(task.id, f"{task.audio}: its record did not arrive")
            skipped.append(SkippedSong(task.id, songs[task.id].split, reason))
    checksums.save(listing.songs, records)
    skipped = [dataclasses.replace(song, reason=plain_text(song.reason)) for song in skipped]
    return records, sorted(skipped, key=lambda song: (song.split, song.id))


def _finished_records(
    listing: SourceListing, root: str, settings: PrepareSettings, checksums: "_AudioChecksums"
) -> dict[str, FinishedRecord]:
    """Records of earlier runs that still belong to their songs and are intact."""
    found, damaged = shards.find_records(root)
    for message in damaged:
        print(f"warning: {message}; its songs are prepared anew", file=sys.stderr)

    def intact_record(song: SourceSong) -> FinishedRecord | None:
        """The song's record, if it has one of these settings and this audio."""
        try:
            labels = storage.read_bytes(song.labels) if song.labels else None
            audio = checksums.of(song.audio)
        except InputError:
            return None  # The worker will say what is wrong.
        fingerprint = song_fingerprint(audio, labels, _task(song, root, settings), FRONT_END)
        for record in found[song.id]:
            same = record.text("fingerprint") == fingerprint
            if same and record.text("source") == song.source and shards.is_intact(record):
                return record
        return None

    known = [song for song in listing.songs if song.id in found]
    if not known:
        return {}
    checked = progress(
        storage.in_threads(intact_record, known),
        total=len(known),
        description="checking records",
        unit="song",
    )
    return {song.id: record for song, record in zip(known, checked, strict=True) if record}


class _AudioChecksums:
    """SHA-256 of audio files, remembered by path, size and time of the last change."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._known = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, audio: str) -> str:
        """The checksum of an audio file, read only if it has changed."""
        facts = list(storage.size_and_time(audio))
        known = self._known.get(plain_text(audio))
        if not known or known[:2] != facts:
            known = self._known[plain_text(audio)] = [*facts, file_sha256(audio)]
        return known[2]

    def save(self, songs: list[SourceSong], records: dict[str, FinishedRecord]) -> None:
        """Writes the checksums of the songs that have records."""

        def facts(song: SourceSong) -> list[Any] | None:
            with contextlib.suppress(InputError):  # A web server need not tell the size.
                checksum = records[song.id].text("audio_sha256")
                return [*storage.size_and_time(song.audio), checksum]
            return None

        present = [song for song in songs if song.id in records]
        found = zip(present, storage.in_threads(facts, present), strict=True)
        write_json(self._path, {plain_text(song.audio): known for song, known in found if known})


def _task(song: SourceSong, root: str, settings: PrepareSettings) -> SongTask:
    piece = storage.join(root, UNFINISHED, shards.piece_name(song.id) + shards.SHARD_SUFFIX)
    return SongTask(
        song.id, song.audio, song.source, song.labels, settings.dtype, piece, settings.decoder
    )


def _check_songs(
    listing: SourceListing,
    records: dict[str, FinishedRecord],
    skipped: list[SkippedSong],
    settings: PrepareSettings,
) -> None:
    for song in skipped:
        print(f"skipped: {' '.join(song.reason.split())}", file=sys.stderr)
    listed = [song.split for song in listing.songs] + [song.split for song in listing.skipped]
    if skipped and settings.strict:
        raise InputError(
            f"--strict: {len(skipped)} of {len(listed)} songs cannot be used; "
            f"the first: {skipped[0].reason}"
        )
    splits = {song.split for song in listing.songs if song.id in records}
    has_training_songs = "train" in listed
    if not splits or (has_training_songs and "train" not in splits):
        for_what = " for the split 'train'" if has_training_songs else ""
        first = f"; the first that was skipped: {skipped[0].reason}" if skipped else ""
        raise InputError(
            f"{settings.data_dir or settings.dataset}: no song{for_what} can be used "
            f"(of {len(listed)} songs listed){first}"
        )
    for split in SPLITS:
        if split not in splits and not settings.fma_all_train:
            print(f"warning: no song in the split {split!r}", file=sys.stderr)
    _warn_of_equal_recordings([song for song in listing.songs if song.id in records], records)


def _warn_of_equal_recordings(songs: list[SourceSong], records: dict[str, FinishedRecord]) -> None:
    """Names recordings that are in several splits: they would be tested on what was learnt.

    Equal are those with the same log-mel, whatever their formats, tags and names.
    """
    first: dict[tuple, SourceSong] = {}
    pairs = []
    for song in songs:
        features = records[song.id].record.features
        sound = tuple(features[name] for name in ("num_frames", "crc32", "mean", "squares"))
        other = first.setdefault(sound, song)
        if other.split != song.split:
            pairs.append(f"{other.id} ({other.split}) and {song.id} ({song.split})")
    if pairs:
        print(
            "warning: the same recording is in several splits, so that scores are too good: "
            + quoted_list(pairs, 3),
            file=sys.stderr,
        )


def _put_in_place(
    listing: SourceListing,
    records: dict[str, FinishedRecord],
    skipped: list[SkippedSong],
    root: str,
    settings: PrepareSettings,
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
    manifest = build_manifest(plans, skipped, root, settings.dtype)
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
