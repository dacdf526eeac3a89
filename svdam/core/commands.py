"""What every command does around its one library call."""

import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence

from svdam.core.validation import InputError, one_line


def run_command(main: Callable[[], None]) -> None:
    """Parses flags and runs ``main``; bad input ends in one line on standard error, status 1.

    Flag errors keep absl's own message and status. Ctrl-C ends with status 130.
    """
    from absl import app

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning

    def guarded(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}: options are given as --name=value")
        try:
            main()
        except InputError as error:
            _fail(str(error))
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}{error.strerror or one_line(error)}")
        except KeyboardInterrupt:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            # What goes wrong inside tf.data comes out as an error of TensorFlow's with our text.
            inner = re.search(r"InputError: (.+)", str(error))
            if not inner:
                raise
            _fail(inner[1])

    try:
        app.run(guarded)
    except SystemExit as exit_:
        # After it has used an object store, tensorflow-io aborts the interpreter's own exit.
        if "tensorflow_io" in sys.modules:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exit_.code if isinstance(exit_.code, int) else 1 if exit_.code else 0)
        raise


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning is one line; where in the code it was raised helps nobody who runs a command."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)
