"""Records of the built-in corpus: prepared once, into its cache (`svdam.corpus.cache`)."""

import sys
from pathlib import Path

from svdam.core import storage
from svdam.core.runs import COMPLETE_NAME
from svdam.core.validation import InputError
from svdam.corpus.cache import locked_cache, render_into
from svdam.data.records import open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data

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
    corpus = PrepareSettings().corpus
    with locked_cache(corpus) as folder:
        output = folder / "records"
        if not _is_whole(output):
            print(f"preparing the built-in corpus, once, in {folder}", file=sys.stderr)
            prepare_data(PrepareSettings(output=str(output)), render_into(folder, corpus))
    return output


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
