"""What a listener, another classifier, hears in the sets of a page."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdam.core.front_end import FrontEnd
from svdam.core.settings import setting
from svdam.core.validation import InputError
from svdam.evaluation.transfer import measure_transfer
from svdam.report.content import ExampleSet, HeardSets

if TYPE_CHECKING:
    from svdam.explain.listener import Listener

    OpenListener = Callable[[FrontEnd], Listener]

ORDER = ("lowest", "minimized", "start", "maximized", "highest")
"""The sets, in the order of rising responses if all is well."""


def listener_setting() -> Any:
    """Setting of commands whose pages say what a listener hears: the listener."""
    return setting(
        None,
        "Listener: another classifier (a .keras file or a run folder of train_classifier), which "
        "hears the examples and the real excerpts, through a bridge if its model card names "
        "another front end. By default there is none.",
        path=True,
    )


def listener_response_setting() -> Any:
    """Setting of commands whose pages say what a listener hears: its response."""
    return setting(
        None,
        "Response of the listener that stands for the same concept, e.g. logit, or "
        "sigmoid(tags:vocal) - sigmoid(tags:no vocal).",
    )


def require_listener_and_response(listener: str | None, response: str | None) -> None:
    """Raises InputError if one of the settings is given without the other."""
    if (listener is None) != (response is None):
        given, missing = ("listener", "listener_response")[:: 1 if response is None else -1]
        raise InputError(f"--{given}: requires --{missing}")


def listener_opener(
    path: str | None, response: str | None, allow_unsafe: bool, import_module: str | None
) -> "OpenListener | None":
    """What opens a listener for excerpts of a front end, once for each; None without a listener.

    Args:
        path: The setting ``listener``.
        response: The setting ``listener_response``.
        allow_unsafe: See `svdam.models.loading.load_model`.
        import_module: See `svdam.models.loading.load_model`.
    """
    if path is None or response is None:
        return None
    return functools.cache(
        functools.partial(
            _open_listener, path, response, allow_unsafe=allow_unsafe, import_module=import_module
        )
    )


def _open_listener(
    path: str, response: str, front_end: FrontEnd, allow_unsafe: bool, import_module: str | None
) -> "Listener":
    """Raises InputError if the listener cannot be loaded, or cannot hear such excerpts."""
    from svdam.explain.listener import Listener
    from svdam.explain.named_outputs import load_classifier
    from svdam.explain.responses import named_layers

    layers = named_layers(response)
    classifier = load_classifier(path, None, allow_unsafe, import_module, layers, flag="listener")
    try:
        return Listener(classifier, response, front_end, path)
    except InputError as error:
        raise InputError(str(error).replace("--response", "--listener_response")) from error


def heard_sets(open_for: "OpenListener", sets: Mapping[str, ExampleSet]) -> HeardSets:
    """What a listener hears in the sets of `ORDER`.

    Args:
        open_for: See `listener_opener`.
        sets: Each set, by its name.

    Raises:
        InputError: If a response is not finite, or a set has fewer than two excerpts.
    """
    responses = {name: open_for(sets[name].front_end)(sets[name].log_mels) for name in ORDER}
    listener = open_for(sets["start"].front_end)
    return HeardSets(
        listener=listener.where,
        response=listener.response,
        bridge=listener.bridge,
        responses=responses,
        transfer=measure_transfer(responses),
    )
