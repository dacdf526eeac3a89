"""What every command does around its one library call."""

import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence

from svdam.core.flagfiles import with_flagfiles
from svdam.core.validation import InputError, one_line

_GOES_ON = "then run the same command again to resume"
_CAUSES = {
    "No space left on device": f"the disk is full; free some space, {_GOES_ON}",
    "Disk quota exceeded": f"your disk quota is exceeded; free some space, {_GOES_ON}",
    "Read-only file system": f"the disk cannot be written (read-only); fix this, {_GOES_ON}",
    "OOM when allocating": "not enough memory; use a smaller --batch_size or --max_memory",
    "Cannot allocate memory": "not enough memory; use smaller batches",
    "Stale file handle": f"the disk is no longer available; reconnect it, {_GOES_ON}",
    "Input/output error": f"the disk reports an error; fix this, {_GOES_ON}",
}


def run_command(main: Callable[[], None]) -> None:
    """Parses flags and runs ``main``; bad input ends in one line on standard error, status 1.

    Flag errors keep absl's own message and status. Ctrl-C ends with status 130.
    """
    from absl import app

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    # It announces the cache of its fonts, and where it has to keep it: of no use to our users.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

    def guarded(argv: Sequence[str]) -> None:
        """``main``, reporting every error that the user can correct in one line."""
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}: expected options in the form --name=value")
        try:
            main()
        except InputError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            print("interrupted; run the same command again to resume", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            message = explanation(error)
            if message is None:
                raise
            _fail(message)

    try:
        arguments = [sys.argv[0], *with_flagfiles(sys.argv[1:])]
    except InputError as error:
        _fail(str(error))
    try:
        app.run(guarded, arguments)
    except SystemExit as exit_:
        # After it has used an object store, tensorflow-io aborts the interpreter's own exit.
        if "tensorflow_io" in sys.modules:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exit_.code if isinstance(exit_.code, int) else 1 if exit_.code else 0)
        raise


def explanation(error: BaseException) -> str | None:
    """What went wrong outside this program, in one line; None for what looks like a defect of it.

    TensorFlow and HDF5 report files, disks and memory by errors of their own, and what goes wrong
    inside tf.data comes out as an error of TensorFlow's with our text.
    """
    text = " ".join(str(error).split())
    inner = re.search(r"InputError: (.+)", text)
    if inner:
        return inner[1]
    cause = next((words for words in _CAUSES if words.lower() in text.lower()), None)
    if cause:
        return f"{_place(error, text)}{_CAUSES[cause]}"
    if isinstance(error, MemoryError):
        return _CAUSES["OOM when allocating"]
    if isinstance(error, OSError):
        return f"{_place(error, text)}{error.strerror or one_line(error)}"
    return None


def _place(error: BaseException, text: str) -> str:
    """The file that an error names, and a colon."""
    named = getattr(error, "filename", None) or getattr(error, "filename2", None)
    if not named:
        # As TensorFlow ("FILE; No space left on device") and HDF5 (name = 'FILE') write it.
        found = re.search(r"(/\S+|\S+/\S+); \w", text) or re.search(r"name = '([^']+)'", text)
        named = found[1] if found else None
    return f"{named}: " if named else ""


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning is one line; where in the code it was raised helps nobody who runs a command."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)
