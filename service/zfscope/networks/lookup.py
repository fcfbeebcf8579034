"""Layers by name or unique suffix, and short lists of layers in messages."""

from collections.abc import Sequence

from zfscope.errors import InputError, NotFound
from zfscope.networks.landmarks import shortlist
from zfscope.networks.spec import NetworkSpec
from zfscope.validation import nearest_name

# Maximum number of layers listed in a message.
MAX_LISTED = 12
# How to list all layers, if a message leaves some out.
LIST_ALL = "list them with: zfscope models NAME --layers all, or GetModel"


def complete_name(names: Sequence[str], name: str, *, field: str = "layer") -> str | None:
    """Return the layer with this name, or the only one that ends in a dot and this name; None without one.

    Raises InputError, with the candidates, if several layers end in it.
    """
    if name in names:
        return name
    candidates = [known for known in names if known.endswith(f".{name}")] if name else []
    if len(candidates) > 1:
        shown = join_names(candidates, candidates[:MAX_LISTED])
        raise InputError(
            f"layer '{name}' is ambiguous; {len(candidates)} layers end in '.{name}': {shown}; "
            "use more of the name",
            field=field,
        )
    return candidates[0] if candidates else None


def unknown_layer(spec: NetworkSpec, name: str, *, field: str) -> NotFound:
    """Return the error for an unknown layer, with a short list of layers and the nearest name."""
    names = [layer.name for layer in spec.layers]
    message = f"layer '{name:.80}' not found; available: {list_layers(spec)}"
    return NotFound(f"{message}{nearest_name(name, names)}", field=field)


def layer_names(spec: NetworkSpec, names: Sequence[str], *, field: str = "layers") -> tuple[str, ...]:
    """Return the full names of layers given by names or unique suffixes.

    Raises NotFound and InputError like `NetworkSpec.layer`, with the name's index in the field, and
    InputError for a layer that is named twice.
    """
    found: list[str] = []
    for index, name in enumerate(names):
        layer = spec.layer(name, field=f"{field}[{index}]").name
        if layer in found:
            raise InputError(f"layer '{layer}' is named more than once", field=f"{field}[{index}]")
        found.append(layer)
    return tuple(found)


def list_layers(spec: NetworkSpec, among: Sequence[str] | None = None) -> str:
    """Return up to `MAX_LISTED` layers as text, blocks first; the number of others, and how to list them.

    among: layers to list from, by default all of the network.
    """
    names = [layer.name for layer in spec.layers] if among is None else among
    text = join_names(names, shortlist(spec, names, MAX_LISTED))
    return text if len(names) <= MAX_LISTED else f"{text} ({LIST_ALL})"


def join_names(names: Sequence[str], shown: Sequence[str]) -> str:
    """Join names with commas. shown: those to list; the others are counted."""
    others = len(names) - len(shown)
    return ", ".join(shown) + (f" ... and {others} more" if others else "")
