"""The built-in corpus: rendered once, into a cache, for all who ask for it.

The cache is ``$SVDAM_CACHE``, else ``$XDG_CACHE_HOME/svdam``, else ``~/.cache/svdam``. A corpus is
kept under its settings and the code that makes it, so that a new version renders its own; whatever
is there may be deleted at any time.
"""

import contextlib
import fcntl
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import svdam.audio
from svdam.core.processors import available_processors
from svdam.core.storage import cache_folder
from svdam.core.validation import InputError
from svdam.corpus.demo_corpus import CORPUS_VERSION, CorpusSettings
from svdam.corpus.rendering import render_demo_corpus


def rendered_corpus(settings: CorpusSettings) -> Path:
    """The folder of the built-in corpus of some size and seed, in Jamendo's layout.

    Raises:
        InputError: If the cache cannot be written.
    """
    with locked_cache(settings) as folder:
        return render_into(folder, settings)


def render_into(folder: Path, settings: CorpusSettings) -> Path:
    """Renders what is missing of the corpus into its cache folder; `locked_cache` gives that.

    Returns:
        The corpus, a folder in it.
    """
    corpus = folder / "corpus"
    render_demo_corpus(corpus, settings, num_workers=available_processors())
    return corpus


@contextlib.contextmanager
def locked_cache(settings: CorpusSettings) -> Iterator[Path]:
    """Yields the cache folder of a corpus, waiting for whoever else is making it.

    Raises:
        InputError: If the cache cannot be written.
    """
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
    folders = Path(__file__).parent, Path(svdam.audio.__file__).parent
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
