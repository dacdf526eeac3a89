"""Rendering the built-in corpus into a folder, in several processes."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from svdam.audio.ogg import with_serial_number
from svdam.core.files import atomic_path, atomic_write, read_json, write_json
from svdam.core.processors import worker_environment
from svdam.core.progress import progress
from svdam.core.validation import InputError
from svdam.corpus.demo_corpus import (
    CORPUS_VERSION,
    CorpusSettings,
    Song,
    SongFile,
    plan_files,
    render_planned,
    split_files,
)

_ENCODINGS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


def render_demo_corpus(
    folder: str | os.PathLike, settings: CorpusSettings | None = None, num_workers: int = 2
) -> None:
    """Renders the corpus into a folder; songs that are there already, whole, stay as they are.

    Args:
        folder: Where to; made if missing.
        settings: Size and seed of the corpus.
        num_workers: Processes that render; the samples do not depend on it.

    Raises:
        InputError: If the folder holds a corpus of other settings, or cannot be written.
    """
    settings = settings or CorpusSettings()
    if num_workers < 1:
        raise InputError(f"num_workers: found {num_workers}, expected at least 1")
    folder = Path(folder)
    _claim(folder, settings)
    files = plan_files(settings)
    missing = [file for file in files if not _is_complete(folder, file)]
    bar = progress(
        total=len(files), initial=len(files) - len(missing), description="rendering", unit="song"
    )
    with bar:
        if num_workers == 1 or len(missing) < 2:
            for file in missing:
                _render_file(folder, settings, file)
                bar.update()
        else:
            _render_in_parallel(folder, settings, missing, num_workers, bar)
    for split, names in split_files(files).items():
        with atomic_write(folder / "filelists" / split) as stream:
            stream.writelines(f"{name}\n" for name in names)


def _render_in_parallel(
    folder: Path, settings: CorpusSettings, files: Sequence[SongFile], num_workers: int, bar
) -> None:
    """Renders songs in fresh interpreters, each of which takes every ``num_workers``-th song.

    A forked process would inherit TensorFlow's threads in whatever state they are, and
    multiprocessing's other ways to start one run the caller's main module again.
    """
    shares = [files[first::num_workers] for first in range(min(num_workers, len(files)))]
    reading, writing = os.pipe()
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", __name__, str(folder), json.dumps(settings.to_dict())),
                *(str(file.index) for file in share),
            ],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            env=worker_environment(),
        )
        for share in shares
    ]
    os.close(writing)
    try:
        with open(reading, encoding="utf-8") as answers:
            for number, *reason in map(json.loads, answers):  # Until the last worker has ended.
                if number:
                    raise OSError(number, *reason)
                bar.update()
        failed = [worker.returncode for worker in workers if worker.wait()]
        if failed:
            raise InputError(
                f"{folder}: a process that renders songs ended with status {failed[0]}; it may "
                "have run out of memory; run the same command again to resume"
            )
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _claim(folder: Path, settings: CorpusSettings) -> None:
    """Marks a folder as this corpus's, or refuses one that is another's."""
    wanted = {"version": CORPUS_VERSION, **settings.to_dict()}
    path = folder / "corpus.json"
    if path.exists():
        found = read_json(path)
        if found != wanted:
            raise InputError(
                f"{path}: found a corpus of {found}, expected {wanted}; "
                "choose another folder or delete this one"
            )
        return
    try:
        write_json(path, wanted)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error


def _label_path(folder: Path, file: SongFile) -> Path:
    return folder / "labels" / f"{Path(file.name).stem}.lab"


def _is_complete(folder: Path, file: SongFile) -> bool:
    """Whether a song is there; both files appear whole, the label file last."""
    return (folder / "audio" / file.name).exists() and _label_path(folder, file).exists()


def write_audio(path: str | os.PathLike, song: Song) -> None:
    """Writes a song's sound in the format that the name's suffix says.

    MP3 and Vorbis delay sound, but libsndfile notes the delay in the file and takes it back when it
    reads: decoded songs are as long as before and aligned to the sample (measured at all rates of
    `SAMPLE_RATES`), so labels need no shift.
    """
    import soundfile

    path = Path(path)
    container, subtype = _ENCODINGS[path.suffix]
    with atomic_path(path) as temporary:
        soundfile.write(
            temporary, song.samples, song.sample_rate, format=container, subtype=subtype
        )
        if container == "OGG":  # The same song is the same file.
            temporary.write_bytes(with_serial_number(temporary.read_bytes()))


def _render_file(folder: Path, settings: CorpusSettings, file: SongFile) -> None:
    """Renders one song and writes its sound, then its labels."""
    song = render_planned(settings, file)
    write_audio(folder / "audio" / file.name, song)
    with atomic_write(_label_path(folder, file)) as stream:
        stream.writelines(f"{line}\n" for line in song.label_lines())


def _serve(folder: str, settings: str, *indices: str) -> None:
    """A worker process: answers each song with 0, or with what makes an OSError.

    It ends when nobody listens any longer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends us.
    corpus = CorpusSettings(**json.loads(settings))
    files = plan_files(corpus)
    for index in map(int, indices):
        answer: list = [0]
        try:
            _render_file(Path(folder), corpus, files[index])
        except OSError as error:
            answer = [error.errno or errno.EIO, error.strerror or str(error), error.filename]
        try:
            os.write(sys.stdout.fileno(), f"{json.dumps(answer)}\n".encode())
        except BrokenPipeError:
            return


if __name__ == "__main__":
    _serve(*sys.argv[1:])
