"""The built-in corpus: rendered and prepared once, into a cache, for all who ask for it.

The cache is ``$SVDAM_CACHE``, else ``$XDG_CACHE_HOME/svdam``, else ``~/.cache/svdam``. A corpus and
its records are kept under the settings and the code that made them, so that a new version renders
anew; whatever is there may be deleted at any time.
"""

import contextlib
import fcntl
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import svdam.audio
from svdam.audio.demo_corpus import CORPUS_VERSION, CorpusSettings, render_demo_corpus
from svdam.core.runs import COMPLETE_NAME
from svdam.core.validation import InputError
from svdam.data import storage
from svdam.data.preparation import PrepareSettings, prepare_data, usable_processors
from svdam.data.records import open_records
from svdam.data.storage import cache_folder

BUILTIN = "builtin"


def resolve_records(records: str) -> str | Path:
    """The records folder that a flag ``--records`` names.

    Args:
        records: ``builtin`` for the built-in corpus, which is rendered and prepared if it is not in
            the cache yet; anything else is a path or URL.

    Returns:
        The folder; URLs stay text.

    Raises:
        InputError: If the cache cannot be written.
    """
    if records != BUILTIN:
        return records if storage.is_remote(records) else Path(records)
    settings = PrepareSettings()
    with _locked_cache(_corpus_settings(settings)) as folder:
        output = folder / "records"
        if not _is_whole(output):
            print(f"preparing the built-in corpus, once, in {folder}", file=sys.stderr)
            prepare_data(PrepareSettings(output=str(output)), corpus=_rendered(folder, settings))
    return output


def rendered_corpus(settings: PrepareSettings) -> Path:
    """The folder of the built-in corpus of some size and seed, in Jamendo's layout.

    Raises:
        InputError: If the cache cannot be written.
    """
    with _locked_cache(_corpus_settings(settings)) as folder:
        return _rendered(folder, settings)


def _rendered(folder: Path, settings: PrepareSettings) -> Path:
    corpus = folder / "corpus"
    render_demo_corpus(corpus, _corpus_settings(settings), usable_processors())
    return corpus


def _is_whole(output: Path) -> bool:
    """Whether finished records are there; what is damaged is prepared anew."""
    if not (output / COMPLETE_NAME).exists():
        return False
    try:
        open_records(output)
    except InputError as error:
        print(f"warning: {error}", file=sys.stderr)
        return False
    return True


def _corpus_settings(settings: PrepareSettings) -> CorpusSettings:
    return CorpusSettings(settings.num_songs, settings.song_secs, settings.corpus_seed)


@contextlib.contextmanager
def _locked_cache(settings: CorpusSettings) -> Iterator[Path]:
    """Yields the cache folder of a corpus, waiting for whoever else is making it."""
    facts = json.dumps([CORPUS_VERSION, settings.to_dict(), _code_checksum()])
    folder = cache_folder() / f"builtin-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a")  # noqa: SIM115
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); set SVDAM_CACHE to another folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that uses {folder}", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _code_checksum() -> str:
    """Hash of the code that renders and analyses sound."""
    digest = hashlib.sha256()
    for path in sorted(Path(svdam.audio.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
