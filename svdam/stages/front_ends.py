"""The front end of a stage: that of its records and models, or the one that a flag names."""

from svdam.audio.front_ends import get_front_end
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError


def named_front_end(name: str, flag: str = "front_end") -> FrontEnd:
    """The front end that a flag names.

    Args:
        name: A named front end, or a JSON file.
        flag: The flag, for messages.

    Raises:
        InputError: If there is no such front end, or the file is damaged.
    """
    try:
        return get_front_end(name)
    except InputError as error:
        raise InputError(f"--{flag}: {str(error).removeprefix('front end: ')}") from error
