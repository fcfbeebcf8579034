"""Projections by autograd on a module's own code, compared with those of the network imported from it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zfscope.engine import Unit, project, trace
from zfscope.engine.backward import Rule
from zfscope.networks import Network

RULES: Sequence[Rule] = ("deconvnet", "guided", "gradient")

# Largest difference of outputs that are taken for the same layer, as a fraction of the largest value.
_SAME = 1e-4


class Rectify(torch.autograd.Function):
    """ReLU, or clipping to 0..high, whose backward pass follows a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, high: float, rule: Rule) -> Tensor:
        ctx.save_for_backward(x)
        ctx.high, ctx.rule = high, rule
        return x.clamp(0, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (x,) = gradients, ctx.saved_tensors
        active = (x > 0) & (x < ctx.high)
        return (
            {
                "deconvnet": gradient.relu(),
                "guided": gradient.relu() * active,
                "gradient": gradient * active,
            }[ctx.rule],
            None,
            None,
        )


class _RuleReLU(nn.Module):
    """A ReLU or ReLU6 of a module, replaced; not in place, so that all outputs stay as they are."""

    def __init__(self, high: float) -> None:
        super().__init__()
        self.high = high
        self.rule: Rule = "gradient"

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = Rectify.apply(x, self.high, self.rule)  # type: ignore[no-untyped-call]  # untyped in torch
        return result


class ReferenceModule:
    """A module in float64 whose ReLUs follow a rule on the way back.

    Other activations, products and normalisation have their gradients. Batch normalisation has the network's
    weights, merged with a convolution or not: their rounding to float32 would otherwise decide whether some
    units are active.
    """

    def __init__(self, module: nn.Module, network: Network) -> None:
        self.module = module.double().eval().requires_grad_(False)
        self._relus: list[_RuleReLU] = []
        self._replace_relus(self.module)
        self._adopt_weights(network)
        self._adopt_scales(network)

    def _adopt_weights(self, network: Network) -> None:
        for conv, norm in self._normalised_convolutions(network).items():
            filters = network.filters.get(conv)
            module = self.module.get_submodule(conv)
            assert isinstance(module, nn.Conv2d)
            if filters is None or torch.allclose(filters.weight, module.weight, rtol=1e-6, atol=0):
                continue  # not merged: the convolution has further readers
            module.weight = nn.Parameter(filters.weight.contiguous(), requires_grad=False)
            module.bias = filters.bias
            parent, _, name = norm.rpartition(".")
            setattr(self.module.get_submodule(parent), name, nn.Identity())

    def _adopt_scales(self, network: Network) -> None:
        modules = dict(self.module.named_modules())
        for layer in network.spec.layers:
            norm, weights = modules.get(layer.name), network.weights(layer.name)
            if not isinstance(norm, nn.BatchNorm2d) or layer.kind != "scale" or weights is None:
                continue
            weight, bias = weights
            assert bias is not None
            norm.weight, norm.bias = (nn.Parameter(part, requires_grad=False) for part in (weight, bias))
            norm.running_mean, norm.running_var = torch.zeros_like(bias), torch.ones_like(bias)
            norm.eps = 0.0

    def _normalised_convolutions(self, network: Network) -> Mapping[str, str]:
        """Return the batch normalisation that reads each convolution directly, by names of modules."""
        outputs: list[tuple[str, Tensor]] = []
        pairs: dict[str, str] = {}

        def record(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, nn.Conv2d):
                outputs.append((name, output))
            elif isinstance(module, nn.BatchNorm2d):
                pairs.update({conv: name for conv, read in outputs if read is inputs[0]})

        hooks = [
            part.register_forward_hook(partial(record, name)) for name, part in self.module.named_modules()
        ]
        self.module(torch.zeros(1, *network.shapes["input"], dtype=torch.float64))
        for hook in hooks:
            hook.remove()
        return pairs

    def _replace_relus(self, module: nn.Module) -> None:
        for name, child in module.named_children():
            if isinstance(child, (nn.ReLU, nn.ReLU6)):
                relu = _RuleReLU(6.0 if isinstance(child, nn.ReLU6) else torch.inf)
                self._relus.append(relu)
                setattr(module, name, relu)
            else:
                self._replace_relus(child)

    def outputs(self, image: Tensor, rule: Rule) -> Sequence[Tensor]:
        """Return the outputs of all submodules, in order of evaluation."""
        for relu in self._relus:
            relu.rule = rule
        found: list[Tensor] = []
        hooks = [
            part.register_forward_hook(lambda module, inputs, output: found.append(output))
            for part in self.module.modules()
        ]
        try:
            self.module(image)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def projection_differences(
    module: nn.Module, network: Network, *, depths: int = 5, units: int = 10, seed: int = 0
) -> Mapping[str, float]:
    """Compare projections of random active units; return the largest difference of each layer.

    Differences are fractions of the largest value of a projection. Layers are matched with submodules by
    their outputs, and chosen at even depths. Modifies the module; both are computed in float64.
    """
    generator = torch.Generator().manual_seed(seed)
    network = network.double()
    reference = ReferenceModule(module, network)
    image = torch.randn(1, *network.shapes["input"], generator=generator, dtype=torch.float64)
    traced = trace(network, image)
    names = [layer.name for layer in network.spec.layers]
    matched = _matched(reference.outputs(image, "gradient"), {name: traced.outputs[name] for name in names})
    chosen = [matched[index * (len(matched) - 1) // (depths - 1)] for index in range(depths)]
    seeds = {layer: random_units(traced.outputs[layer], units, generator) for layer, _ in chosen}
    largest = dict.fromkeys(seeds, 0.0)
    for rule in RULES:
        pixels = image.clone().requires_grad_()
        outputs = reference.outputs(pixels, rule)
        for layer, index in chosen:
            ours = project(network, traced, layer, seeds[layer], rule=rule, normalisation="gradient")
            for unit, projection in zip(seeds[layer], ours, strict=True):
                theirs = _gradient(outputs[index], unit, pixels)
                difference = (projection - theirs).abs().max() / theirs.abs().max().clamp(min=1e-300)
                largest[layer] = max(largest[layer], float(difference))
    return largest


def _matched(outputs: Sequence[Tensor], layers: Mapping[str, Tensor]) -> Sequence[tuple[str, int]]:
    """Return the layers that are outputs of submodules, with the index of the output."""
    found = []
    for name, values in layers.items():
        scale = values.abs().max()
        index = next(
            (
                index
                for index, output in enumerate(outputs)
                if output.shape == values.shape and (output - values).abs().max() <= _SAME * scale
            ),
            None,
        )
        if index is not None and scale > 0:
            found.append((name, index))
    return found


def random_units(outputs: Tensor, count: int, generator: torch.Generator) -> Sequence[Unit]:
    """Return random units with activations other than zero, of the first image."""
    active = outputs[0].nonzero()
    rows = active[torch.randint(len(active), (count,), generator=generator)].tolist()
    return [Unit(0, *row) for row in rows]


def _gradient(output: Tensor, unit: Unit, pixels: Tensor) -> Tensor:
    """Return the backward pass from a unit, starting from its activation."""
    value = output[0, unit.map] if output.dim() == 2 else output[0, unit.map, unit.y, unit.x]
    (gradient,) = torch.autograd.grad(value, pixels, value.detach(), retain_graph=True)
    return gradient[0]
