"""tensorflow-io, which may be missing or not fit the TensorFlow that is installed."""

import functools
from typing import Any

from svdam.core.validation import InputError, one_line


@functools.lru_cache(maxsize=1)
def _load() -> tuple[Any, str]:
    """(the module, empty) or (None, why it does not load)."""
    try:
        import tensorflow_io

        # Its native library is loaded on first use; with a TensorFlow it was not built for, only
        # then does it fail.
        tensorflow_io.version  # noqa: B018
        from tensorflow_io.python.ops import core_ops

        core_ops.io_file_info  # noqa: B018
    except (ImportError, NotImplementedError, AttributeError, OSError) as error:
        return None, one_line(error)
    return tensorflow_io, ""


def load_tensorflow_io(needed_by: str) -> Any:
    """The module ``tensorflow_io``, with its native library loaded.

    Args:
        needed_by: What needs it, for the message: a flag or a kind of URL.

    Raises:
        InputError: If it is missing or was built for another TensorFlow.
    """
    module, reason = _load()
    if module is None:
        import tensorflow as tf

        raise InputError(
            f"{needed_by}: needs tensorflow-io, which does not load here ({reason}); "
            f"found TensorFlow {tf.__version__}, expected tensorflow-io 0.37.1 with "
            "TensorFlow 2.16 or 2.17, which the extra object-stores installs"
        )
    return module
