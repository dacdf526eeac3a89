"""Models as the stages use them: one input of a known size, one output, batches of any size.

Users' models come in other forms: their input or output is a dictionary or a list of one, the time
axis is open, the excerpt has no channel axis, the batch size is fixed. All of these are turned into
the same form here, once, before any work is done; what cannot be is refused.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from svdam.core.validation import InputError, one_line

Shape = Sequence[int | None]


def plain_model(model: keras.Model, where: str, output_names: Iterable[str] = ()) -> keras.Model:
    """The model without dictionaries and lists around its one input and its one output.

    Args:
        model: A functional or built sequential model.
        where: What the model is called in messages, for example its file.
        output_names: Names of outputs or layers that are needed. Where a model has several outputs,
            one that is named is taken, or else the first that depends on all named layers.

    Returns:
        ``model`` itself if it is plain, or else a model of the same layers, in which an output that
        has a name in a dictionary is a layer of that name.

    Raises:
        InputError: If the model says nothing about its input, has several inputs, or several
            outputs and none of them is named.
    """
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise InputError(
            f"{where} does not define its input; give it an Input layer, or call it on one: "
            "x = keras.Input(SHAPE); model = keras.Model(x, model(x))"
        )
    if len(model.inputs) > 1:
        names = _listed({_layer_name(tensor): tensor for tensor in model.inputs})
        raise InputError(
            f"{where} has {len(model.inputs)} inputs ({names}), expected one; create a model in "
            "which the others are constants"
        )
    if _is_plain(model):
        return model
    outputs = _named_outputs(model)
    name = _chosen_output(model, outputs, set(output_names), where)
    output = outputs[name]
    if name not in {layer.name for layer in model.layers} and "/" not in name:
        output = keras.layers.Identity(name=name)(output)
    return keras.Model(model.inputs[0], output, name=model.name)


def fitted_model(model: keras.Model, shape: Shape, where: str) -> keras.Model:
    """The model for inputs of a known shape, in batches of any size.

    Open axes take their size from ``shape``, axes of length 1 may stand elsewhere or be missing, as
    in (115, 80) or (1, 115, 80) for excerpts of (115, 80, 1), and a fixed batch size is lifted.
    Stateful recurrent layers become stateless: each excerpt starts from the initial state.

    Args:
        model: A plain model; see `plain_model`.
        shape: Of one input, without the batch.
        where: What the model is called in messages.

    Returns:
        ``model`` itself if it fits, or else a copy with the same weights and names of layers.

    Raises:
        InputError: If the model takes something else, or depends on its batch size.
    """
    shape, found = tuple(shape), tuple(model.input_shape[1:])
    own = _filled(found, shape)
    if own is None:
        raise InputError(f"{where} takes {found}, expected {shape}{_hint(found, shape)}")
    batch_size = model.input_shape[0]
    if found == shape and batch_size is None:
        return model
    try:
        copy = _copied_model(model, shape, own)
    except Exception as error:  # Keras raises whatever a user's layer makes of another shape.
        raise InputError(
            f"{where} takes {tuple(model.input_shape)}, and cannot be rebuilt for batches of any "
            f"size of {own} ({one_line(error)})"
        ) from error
    if copy.output_shape[0] is not None:
        raise InputError(
            f"{where} takes batches of {batch_size} only; rebuild it with an Input layer without "
            "batch size"
        )
    return copy


def matched_models(
    generator: keras.Model | None, classifier: keras.Model, output_names: Iterable[str] = ()
) -> tuple[keras.Model | None, keras.Model]:
    """A generator and a classifier that takes what it makes; both plain, of known sizes.

    Args:
        generator: From latents to excerpts; None if the classifier's input itself is searched.
        classifier: From excerpts to responses.
        output_names: See `plain_model`.

    Raises:
        InputError: If they do not fit each other, or a size is left open.
    """
    classifier = plain_model(classifier, "--classifier: it", output_names)
    if generator is None:
        shape = _known_shape(classifier, "classifier")
        return None, fitted_model(classifier, _with_channel(shape), "--classifier: it")
    generator = excerpt_generator(generator)
    latent = tuple(generator.input_shape[1:])
    made, taken = tuple(generator.output_shape[1:]), tuple(classifier.input_shape[1:])
    if _filled(taken, made) is None:
        swapped = tuple(classifier.output_shape[1:]) == latent
        raise InputError(
            f"--generator: it makes excerpts of shape {made}, but the classifier takes {taken}"
            + ("; --generator and --classifier are swapped" if swapped else _pair_hint(taken, made))
        )
    return generator, fitted_model(classifier, made, "--classifier: it")


def excerpt_generator(generator: keras.Model) -> keras.Model:
    """A generator of excerpts with a channel axis, of known size, in batches of any size.

    Raises:
        InputError: If it is no model from one tensor of known shape to one tensor.
    """
    generator = plain_model(generator, "--generator: it")
    latent = _known_shape(generator, "generator")
    return _making_excerpts(fitted_model(generator, latent, "--generator: it"))


def copy_weights(source: keras.Model, copy: keras.Model) -> None:
    """Gives a model the weights of another one with the same layers, or with its last layers."""
    own = copy.get_weights()[: len(copy.weights) - len(source.weights)]
    copy.set_weights([*own, *source.get_weights()])
    for layer in copy._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # Takes what it was adapted to from its weights.


def _is_plain(model: Any) -> bool:
    """Whether it is a functional or sequential model from one tensor to one tensor."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        return False
    return isinstance(model, keras.Sequential) or all(
        isinstance(structure, keras.KerasTensor) for structure in (model.input, model.output)
    )


def _named_outputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Outputs by their keys in a dictionary, or else by the layers that make them."""
    keys = {}
    if isinstance(model.output, dict):
        keys = {id(tensor): str(key) for key, tensor in model.output.items()}
    named: dict[str, keras.KerasTensor] = {}
    for tensor in model.outputs:
        name = keys.get(id(tensor), _layer_name(tensor))
        named[f"{name}_{len(named)}" if name in named else name] = tensor
    return named


def _chosen_output(
    model: keras.Model, outputs: dict[str, keras.KerasTensor], wanted: set[str], where: str
) -> str:
    if len(outputs) == 1:
        return next(iter(outputs))
    named = [name for name in outputs if name in wanted]
    if len(named) == 1:
        return named[0]
    if not named and wanted:
        for name, tensor in outputs.items():
            layers = {layer.name for layer in keras.Model(model.inputs[0], tensor).layers}
            if all(_is_in(one, layers) for one in wanted):
                return name
    way_out = "save a model with only one of them"
    if wanted:
        way_out = f"specify one of them, e.g. --response={next(iter(outputs))}"
    raise InputError(
        f"{where} has {len(outputs)} outputs ({_listed(outputs)}), expected one; {way_out}"
    )


def _is_in(name: str, layers: set[str]) -> bool:
    """Whether a name in a response, as fc2_pre or backbone#2.conv1, is of one of the layers."""
    name = re.sub(r"#\d+|\[.*?\]", "", name)
    return any(name in (one, f"{one}_pre") or name.startswith(f"{one}.") for one in layers)


def _layer_name(tensor: keras.KerasTensor) -> str:
    return tensor._keras_history.operation.name


def _listed(tensors: dict[str, keras.KerasTensor]) -> str:
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())


def _filled(found: Shape, shape: Shape) -> tuple[int | None, ...] | None:
    """``found`` with its open axes taken from ``shape``; None if they do not fit each other."""
    lengths: Iterable[int | None] = shape
    if len(found) != len(shape) or not _agree(found, shape):
        lengths = iter([size for size in shape if size != 1])
        lengths = [1 if size == 1 else next(lengths, 0) for size in found]
        if np.prod([size or 1 for size in lengths]) != np.prod([size or 1 for size in shape]):
            return None
    return tuple(lengths) if _agree(found, tuple(lengths)) else None


def _agree(found: Shape, shape: Shape) -> bool:
    return all(None in pair or pair[0] == pair[1] for pair in zip(found, shape, strict=True))


def _hint(found: Shape, shape: Shape) -> str:
    if len(found) == 1 < len(shape):
        return "; it may be a generator"
    if _are_swapped(found, shape):
        return "; its axes are (mels, frames): put a Permute layer before it"
    if len(_sides(found)) == len(_sides(shape)) == 2:
        return (
            "; if it has another front end, prepare records with prepare_data --front_end=NAME or "
            "FILE.json"
        )
    return ""


def _pair_hint(taken: Shape, made: Shape) -> str:
    if _are_swapped(taken, made):
        return _hint(taken, made)
    return (
        "; if they have different front ends, name the one of a model without a model card, e.g. "
        "--classifier_front_end=yamnet or FILE.json"
    )


def _are_swapped(found: Shape, shape: Shape) -> bool:
    return len(_sides(found)) == 2 and _sides(found) == _sides(shape)[::-1]


def _sides(shape: Shape) -> list[int | None]:
    """Frames and mels of an excerpt, wherever its channel axis is."""
    return [size for size in shape if size != 1]


def _known_shape(model: keras.Model, flag: str) -> tuple[int, ...]:
    shape = tuple(model.input_shape[1:])
    if None in shape:
        raise InputError(
            f"--{flag}: its input shape {shape} is variable; expected a model with a fixed one"
        )
    return shape


def _with_channel(shape: Shape) -> Shape:
    """(frames, mels, 1) of an excerpt whose channel axis is elsewhere or missing."""
    sides = _sides(shape)
    return (*sides, 1) if len(sides) == 2 and len(shape) <= 3 else shape


def _making_excerpts(generator: keras.Model) -> keras.Model:
    """The generator, with excerpts of known size and with a channel axis."""
    made = tuple(generator.output_shape[1:])
    if None in made:
        latent = np.zeros((1, *generator.input_shape[1:]))
        made = tuple(generator(latent, training=False).shape[1:])
    wanted = _with_channel(made)
    if wanted == tuple(generator.output_shape[1:]):
        return generator
    excerpt = keras.layers.Reshape(wanted, name="with_channel_axis")(generator.outputs[0])
    return keras.Model(generator.inputs[0], excerpt, name=generator.name)


def model_behind(model: keras.Model, excerpt: Any, features: Any) -> keras.Model:
    """A copy of a model that gets its input from what is computed of another one.

    Args:
        model: A plain model; see `plain_model`.
        excerpt: The new input, a symbolic tensor.
        features: What is computed of it, of the shape that ``model`` takes.

    Returns:
        A model from ``excerpt`` to the outputs, with the same weights and names of layers.
    """
    graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    nested = set()

    def copied(layer: Any) -> Any:
        copy = type(layer).from_config(_stateless(layer.get_config()))
        if _is_plain(layer) and len(layer._inbound_nodes) == 1:  # Not for inputs of several sizes.
            nested.add(copy)
        return copy

    def call(layer: Any, *args: Any, **options: Any) -> Any:
        args, options = keras.tree.map_structure(
            lambda value: features if value is excerpt else value, (args, options)
        )
        if layer in nested:
            layer = fitted_model(layer, args[0].shape[1:], layer.name)
        return layer(*args, **options)

    copy = keras.models.clone_model(
        graph, input_tensors=excerpt, clone_function=copied, call_function=call
    )
    copy_weights(graph, copy)
    return copy


def _copied_model(model: keras.Model, shape: Shape, own: Shape) -> keras.Model:
    """A copy whose input has ``shape``, and is reshaped to ``own`` before its first layers."""
    name = _layer_name(model.inputs[0])
    excerpt = reshaped = keras.Input(shape, name=name, dtype=model.inputs[0].dtype)
    if tuple(shape) != tuple(own):
        reshaped = keras.layers.Reshape(own, name=f"{name}_reshaped")(excerpt)
    return model_behind(model, excerpt, reshaped)


def _stateless(config: Any) -> Any:
    """A layer's configuration in which no recurrent layer, itself or inside, keeps its state."""
    if isinstance(config, dict):
        return {
            key: False if key == "stateful" else _stateless(value) for key, value in config.items()
        }
    return [_stateless(value) for value in config] if type(config) is list else config
