"""The backward rules on a given network: captions, and a warning if projections ignore the photo."""

from zfscope.engine.backward import Normalisation, Rule, reads_trace
from zfscope.networks.spec import NetworkSpec
from zfscope.results import Notice


def gradients_caption(spec: NetworkSpec, layer: str) -> str:
    """Return how many layers the projections pass by their gradient, as the end of a sentence; else empty."""
    count = sum(below.goes_back_by_gradient for below in spec.needed_for([layer]))
    layers = f"{count} other activation{'s' * (count != 1)} or product{'s' * (count != 1)}"
    return f"; of {layers}: gradient" if count else ""


def photo_notices(
    spec: NetworkSpec, layer: str, rule: Rule, normalisation: Normalisation
) -> tuple[Notice, ...]:
    """Return a warning if projections of a unit are the same for every photo, up to a factor.

    They are, under the rule `deconvnet`, if the backward pass reads nothing from the trace below the layer:
    no switches, gates or gradients. Without rectifiers, as in the first layer, all rules agree: no warning.
    """
    return _photo_notices(spec, layer, rule, normalisation, remedy="use the rule", field="rule")


def deconvnet_notices(spec: NetworkSpec, layer: str) -> tuple[Notice, ...]:
    """Return the warning of `photo_notices` for an analysis that always projects by the rule `deconvnet`."""
    remedy = "see them with the analyzer project and its rule"
    return _photo_notices(spec, layer, "deconvnet", "skip", remedy=remedy, field="layer")


def _photo_notices(
    spec: NetworkSpec, layer: str, rule: Rule, normalisation: Normalisation, *, remedy: str, field: str
) -> tuple[Notice, ...]:
    below = [each for each in spec.needed_for([layer]) if each.name != layer]
    rectified = any(each.rectifies for each in below)
    if rule != "deconvnet" or not rectified or any(reads_trace(each, normalisation) for each in below):
        return ()
    message = (
        f"there is no max pooling below layer '{layer}', so that the rule deconvnet projects a unit to the "
        f"same pattern for every photo; {remedy} guided or gradient"
    )
    return (Notice("photo-independent", message, field),)
