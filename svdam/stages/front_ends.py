"""The front end of a stage: that of its records, of its models, or the one that a flag names.

What belongs together must have the same one; where it does not, messages name them all.
"""

import os
from typing import Any

from svdam.audio.front_ends import FRONT_ENDS, front_end_name, get_front_end
from svdam.core.front_end import FrontEnd
from svdam.core.settings import setting
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


def model_front_end_setting(model: str) -> Any:
    """Setting of commands that search: the front end of a model that has no card."""
    return setting(
        None,
        f"Front end of the {model}, if it has no model card: {', '.join(FRONT_ENDS)}, or a .json "
        "file. By default, excerpts with 80 bands are those of ismir2015, and others those of the "
        "other model.",
        path=True,
    )


def model_front_end(model: str | os.PathLike, flag: str, name: str | None) -> FrontEnd | None:
    """The front end of a model, from its card or from a flag.

    Args:
        model: The model's file.
        flag: The flag that named it.
        name: What ``--{flag}_front_end`` says.

    Returns:
        The front end; None if neither says one.

    Raises:
        InputError: If they contradict each other, or one is damaged.
    """
    card = read_model_card(model)
    if name is None:
        return None if card is None else card.front_end
    named = named_front_end(name, f"{flag}_front_end")
    if card is not None and not card.front_end.is_like(named):
        raise InputError(
            f"--{flag}_front_end: is {front_end_name(named)}, but the model card of {model} says "
            f"{front_end_name(card.front_end)}; leave out the flag, or correct the card"
        )
    return named


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


def require_front_end_of_either(
    records: Records, generator: FrontEnd | None, classifier: FrontEnd | None
) -> None:
    """Refuses records whose front end is neither the generator's nor the classifier's.

    Args:
        records: Real excerpts.
        generator: Front end of what it makes; None if it is not known.
        classifier: The classifier's own; None if it is not known.

    Raises:
        InputError: Naming all front ends, and the way out.
    """
    known = [one for one in (generator, classifier) if one is not None]
    if known and not any(one.is_like(records.front_end) for one in known):
        found = listed_front_ends(
            records=records.front_end, generator=known[0], classifier=known[-1]
        )
        raise InputError(
            f"--records: the front ends differ ({found}); prepare records with "
            f"prepare_data --front_end={front_end_name(known[-1])}, or choose other --records"
        )


def listed_front_ends(**found: FrontEnd) -> str:
    """Front ends by name, for messages: ``records: yamnet, generator: ismir2015``."""
    return ", ".join(f"{what}: {front_end_name(one)}" for what, one in found.items())
