"""Records that stages read: a folder of prepare_data, or the built-in corpus.

The built-in corpus is rendered and prepared once, into its cache (`svdam.corpus.cache`).
"""

import sys
from pathlib import Path

from svdam.core import storage
from svdam.core.runs import COMPLETE_NAME
from svdam.core.validation import InputError
from svdam.corpus.cache import locked_cache, render_into
from svdam.data.records import Records, open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_records

BUILTIN = "builtin"


def input_records(records: str) -> Records:
    """Opens the records that a flag ``--records`` names.

    Args:
        records: ``builtin`` for the built-in corpus, which is rendered and prepared if it is not in
            the cache yet; anything else is a path or URL.

    Raises:
        InputError: If they cannot be opened, or the cache cannot be written.
    """
    if records != BUILTIN:
        return open_records(records if storage.is_remote(records) else Path(records))
    corpus = PrepareSettings().corpus
    with locked_cache(corpus) as folder:
        output = folder / "records"
        found = _finished_records(output)
        if found is None:
            print(f"rendering the built-in corpus, once, in {folder}", file=sys.stderr)
            prepare_records(PrepareSettings(output=str(output)), render_into(folder, corpus))
            found = open_records(output)
    return found


def _finished_records(output: Path) -> Records | None:
    """The records, if they are complete; what is damaged is prepared again."""
    if not (output / COMPLETE_NAME).exists():
        return None
    try:
        return open_records(output)
    except InputError as error:
        print(f"warning: {error}", file=sys.stderr)
        return None
