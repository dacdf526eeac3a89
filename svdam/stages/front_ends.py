"""The front end of a stage: that of its records, of its models, or the one that a flag names.

What belongs together must have the same one; where it does not, messages name them all.
"""

import os

from svdam.audio.front_ends import front_end_name, get_front_end
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError
from svdam.data.records import Records
from svdam.results.model_cards import read_model_card


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


def require_same_front_end(records: Records, **models: str | os.PathLike | None) -> None:
    """Refuses models whose cards say another front end than that of the records.

    Args:
        records: What the models will be given.
        **models: The models' files, by flag. Those that are None, or have no card, are left out.

    Raises:
        InputError: Naming all front ends, and the way out.
    """
    found = {"records": records.front_end}
    for flag, path in models.items():
        card = None if path is None else read_model_card(path)
        if card is not None:
            found[flag] = card.front_end
    other = [flag for flag in found if not found[flag].is_like(records.front_end)]
    if other:
        raise InputError(
            f"--{other[0]}: the front ends differ ({listed_front_ends(**found)}); prepare records "
            f"with prepare_data --front_end={front_end_name(found[other[0]])}, or choose another "
            f"--{other[0]}"
        )


def listed_front_ends(**found: FrontEnd) -> str:
    """Front ends by name, for messages: ``records: yamnet, generator: ismir2015``."""
    return ", ".join(f"{what}: {front_end_name(one)}" for what, one in found.items())
