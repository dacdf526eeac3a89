"""Renders songs of the built-in corpus as stems, to be mixed with those of recordings.

    python tools/render_stems.py --output=datasets/music/rendered --num_songs=400

Each song with a voice becomes NAME.voice.ogg, NAME.backing.ogg and NAME.lab, each other one
NAME.ogg, as ``prepare_data --dataset=stems`` reads them. Songs that are there already stay.
"""

import concurrent.futures
import dataclasses
import functools
from pathlib import Path

import soundfile
from absl import app, flags

from svdam.core.files import atomic_path, atomic_write
from svdam.core.processors import available_processors
from svdam.core.progress import progress
from svdam.corpus.demo_corpus import CorpusSettings, SongFile, plan_files, render_planned

SAMPLE_RATE = 22050

FLAGS = flags.FLAGS


def render_stems(folder: Path, settings: CorpusSettings) -> None:
    """Renders all songs of a corpus, mono at 22,050 Hz; their numbers are their names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [file for file in plan_files(settings) if not _last_file(folder, file).exists()]
    with concurrent.futures.ProcessPoolExecutor(available_processors()) as pool:
        rendered = pool.map(functools.partial(_render, folder, settings), files)
        for _ in progress(rendered, total=len(files), description="rendering", unit="song"):
            pass


def _last_file(folder: Path, file: SongFile) -> Path:
    return folder / f"{file.index:05d}.{'lab' if file.sings else 'ogg'}"


def _render(folder: Path, settings: CorpusSettings, file: SongFile) -> None:
    mono = dataclasses.replace(file, sample_rate=SAMPLE_RATE, num_channels=1)
    song = render_planned(settings, mono)
    stems = {".voice.ogg": song.voice, ".backing.ogg": song.band} if file.sings else {}
    for suffix, samples in (stems or {".ogg": song.samples}).items():
        with atomic_path(folder / f"{file.index:05d}{suffix}") as temporary:
            soundfile.write(temporary, samples, SAMPLE_RATE, format="OGG", subtype="VORBIS")
    if file.sings:
        with atomic_write(_last_file(folder, file)) as stream:
            stream.writelines(f"{line}\n" for line in song.label_lines())


def main(_: list[str]) -> None:
    """Reads the flags and renders."""
    render_stems(Path(FLAGS.output), CorpusSettings(FLAGS.num_songs, FLAGS.song_secs, FLAGS.seed))


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "Folder to write.", required=True)
    flags.DEFINE_integer("num_songs", 400, "Number of songs.", lower_bound=3)
    flags.DEFINE_float("song_secs", 20.0, "Length of a song, in seconds.", lower_bound=3)
    flags.DEFINE_integer("seed", 0, "Seed of the corpus.", lower_bound=0)
    app.run(main)
