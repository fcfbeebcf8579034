"""Attributions of other analyzers and their controls, and input that cannot be measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.analyzers.faithfulness.conftest import MakeContext, measure, npy
from zfscope.analysis.contract import Context
from zfscope.analysis.run import read_params, run
from zfscope.analysis.trace_cache import trace_cache
from zfscope.errors import InputError, NotFound, ZfscopeError
from zfscope_analyzers.faithfulness import FaithfulnessParams
from zfscope_analyzers.occlude import Occlude
from zfscope_analyzers.project import Project

FEW = {"step": 0.5, "random": 0}
QUICK = {"window": 16, "stride": 16}


@pytest.mark.parametrize("label", ["", "dog"])
def test_the_occlusion_map_of_the_class_is_measured(plain_context: Context, label: str) -> None:
    result = measure(
        plain_context, method_parameters=QUICK, labels=[label] if label else [], control=False, **FEW
    )
    (photo,) = result.tables["photos"].records()
    assert photo["label"] == (label or photo["label"])
    params = read_params(Occlude(), {**QUICK, "classes": [photo["label_id"]]})
    expected = run(Occlude(), plain_context, params)
    clean = expected.tables["classes"].records()[0]["clean"]
    np.testing.assert_array_equal(result.tensors["attribution"], expected.tensors["attribution"])
    np.testing.assert_allclose(
        result.tensors["attribution"], clean - expected.tensors["value-maps"][0], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
def test_the_magnitude_of_the_projected_class_score_is_measured(plain_context: Context, rule: str) -> None:
    result = measure(plain_context, method="project", method_parameters={"rule": rule}, control=False, **FEW)
    (photo,) = result.tables["photos"].records()
    number = [label.id for label in plain_context.model.labels].index(photo["label_id"])
    params = read_params(Project(), {"layer": "fc8", "units": [{"map": number}], "rule": rule})
    (pixels,) = run(Project(), plain_context, params).tensors["projections"]
    np.testing.assert_allclose(result.tensors["attribution"], np.abs(pixels).sum(0), rtol=1e-5)


def test_a_class_that_the_parameters_name_is_kept(plain_context: Context) -> None:
    named = measure(plain_context, method_parameters={**QUICK, "classes": ["bee"]}, control=False, **FEW)
    params = read_params(Occlude(), {**QUICK, "classes": ["bee"]})
    expected = run(Occlude(), plain_context, params).tensors["attribution"]
    np.testing.assert_array_equal(named.tensors["attribution"], expected)


def test_the_control_is_the_attribution_of_randomised_weights(plain_context: Context) -> None:
    cache = trace_cache()
    context = replace(plain_context, tracer=cache.trace, randomiser=cache.randomise)
    before = {name: value.clone() for name, value in context.model.network.state_dict().items()}
    result = measure(context, method_parameters=QUICK, **FEW)
    control = context.control("fc8")
    with torch.no_grad():
        scores = control(torch.from_numpy(context.images[0].pixels[:1]))
    label = context.model.labels[int(scores.argmax())].id
    random = context.randomised()
    params = read_params(Occlude(), {**QUICK, "classes": [label]})
    expected = run(Occlude(), random, params).tensors["attribution"]
    np.testing.assert_allclose(result.tensors["control-attributions"][0], expected, rtol=1e-5, atol=1e-7)
    assert (result.tensors["control-attributions"][0] != result.tensors["attribution"]).any()
    for name, value in context.model.network.state_dict().items():
        assert torch.equal(value, before[name])
    # The trace of the model is still its own, not that of the control.
    own = cache.trace(context.model, context.images[0].pixels[:1])
    assert torch.equal(own.outputs["fc8"], plain_context.trace().outputs["fc8"])


def test_a_given_attribution_has_no_control(linear: MakeContext) -> None:
    attribution = npy(np.arange(16.0).reshape(4, 4))
    result = measure(linear(np.ones((4, 4)), np.full((4, 4), 130)), attribution=attribution, **FEW)
    assert "control-attributions" not in result.tensors
    assert "control_deletion_area" not in result.numbers


def test_progress_rises_to_the_end(plain_context: Context) -> None:
    shares: list[float] = []
    context = replace(plain_context, progress=lambda share, _: shares.append(share))
    measure(context, method_parameters=QUICK, step=0.1, random=2)
    assert shares == sorted(shares)
    assert len(shares) == 2 + 6  # the attributions, and a batch for each curve
    assert shares[-1] == pytest.approx(1)


def test_the_cost_counts_every_curve_and_both_attributions() -> None:
    from zfscope_analyzers.faithfulness import Faithfulness

    model: Any = None  # its own cost does not depend on the model
    analyzer = Faithfulness()
    assert analyzer.cost(model, FaithfulnessParams()) == 2 + (2 + 5 + 2) * 49 + 1
    assert analyzer.cost(model, FaithfulnessParams(random=0, control=False)) == 2 + 2 * 49
    (other,) = analyzer.subanalyses(FaithfulnessParams())
    assert (other.analyzer, other.times) == ("occlude", 2)
    assert analyzer.subanalyses(FaithfulnessParams(attribution=npy([[1.0]]))) == ()


FLAT = "attribution is 0 at every pixel, which ranks none before another; choose another class or method"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 4)), FLAT),
        (np.full((4, 4), 2.5), FLAT.replace(" 0 ", " 2.5 ")),
        (np.full((4, 4), np.nan), "attribution has values that are not finite; allowed: finite numbers"),
        (np.full((4, 4), 1e60), "attribution has values beyond the range of float32; scale them"),
        (
            np.zeros((3, 4)),
            "attribution has the shape (3, 4); the network's input has (4, 4), rows and columns",
        ),
        (
            np.zeros((4, 4), "U1"),
            "attribution has values of type <U1; allowed: real numbers",
        ),
        (np.zeros((4, 4), object), "attribution has values of type object; allowed: real numbers"),
    ],
)
def test_an_attribution_that_ranks_no_pixels_is_rejected(
    linear: MakeContext, values: Any, message: str
) -> None:
    with pytest.raises(InputError) as error:
        measure(linear(np.ones((4, 4)), np.full((4, 4), 130)), attribution=npy(values), **FEW)
    assert (error.value.message, error.value.field) == (message, "attribution")


@pytest.mark.parametrize("cut", [0, 5, 40, 140])
def test_a_file_that_is_no_array_is_rejected(linear: MakeContext, cut: int) -> None:
    data = npy(np.arange(16.0).reshape(4, 4))[:cut]
    with pytest.raises(InputError, match=r"attribution is not a \.npy file: ") as error:
        measure(linear(np.ones((4, 4)), np.full((4, 4), 130)), attribution=data or b"\0", **FEW)
    assert error.value.field == "attribution"


@pytest.mark.parametrize(
    ("parameters", "kind", "field", "message"),
    [
        (
            {"method": "activations"},
            InputError,
            "method",
            "method is 'activations', which gives no tensor 'attribution' with these parameters; name an "
            "analyzer that explains a class, such as occlude",
        ),
        ({"method": "oclude"}, NotFound, "method", "analyzer 'oclude' not found; available: "),
        (
            {"method": "faithfulness"},
            InputError,
            "method",
            "method is 'faithfulness': it cannot measure itself; name an analyzer that gives a tensor",
        ),
        (
            {"method_parameters": {"window": -1}},
            InputError,
            "method_parameters.window",
            "method_parameters.window is -1: Input should be greater than 0",
        ),
        (
            {"method_parameters": {"window": 99}},
            InputError,
            "method_parameters.window",
            "window is 99; allowed: 1 to 32 (the network reads 32 x 32 pixels)",
        ),
        ({"labels": ["cow"]}, NotFound, "labels[0]", "label 'cow' not found; this model has 'ant' (n0)"),
        (
            {"labels": ["ant", "bee"]},
            InputError,
            "labels",
            "2 labels for 1 photos; give one for each, or none",
        ),
        (
            {"method_parameters": {"window": 4}, "attribution": npy(np.eye(32))},
            InputError,
            "attribution",
            "attribution is invalid: method_parameters are set too; set only one of them",
        ),
        (
            {"method": "project", "attribution": npy(np.eye(32))},
            InputError,
            "attribution",
            "attribution is invalid: method is set too; set only one of them",
        ),
        ({"step": 0}, InputError, "step", "step is 0: Input should be greater than or equal to 0.001"),
        (
            {"method": "project", "method_parameters": {"layer": "conv5"}},
            InputError,
            "method",
            "method is 'project', which gives no tensor 'attribution' with these parameters; name an ",
        ),
    ],
)
def test_parameters_that_cannot_be_measured_are_rejected_with_their_field(
    plain_context: Context, parameters: Any, kind: type[ZfscopeError], field: str, message: str
) -> None:
    with pytest.raises(kind) as error:
        measure(plain_context, **{**FEW, "control": False, **parameters})
    assert error.value.field == field
    assert message in error.value.message


def test_a_method_whose_attribution_is_the_same_everywhere_is_rejected(linear: MakeContext) -> None:
    # The score does not depend on the photo: no window changes it.
    context = linear(np.zeros((4, 4)), np.full((4, 4), 130))
    with pytest.raises(InputError) as error:
        measure(context, method_parameters={"window": 2}, control=False, **FEW)
    assert error.value.field == "method"
    assert error.value.message.startswith("the attribution by 'occlude' is 0 at every pixel")


@pytest.mark.parametrize("name", ["attribution", "boxes", "masks"])
def test_what_belongs_to_one_photo_is_rejected_for_several(linear: MakeContext, name: str) -> None:
    photo = np.full((4, 4), 130)
    value = [{"x0": 0, "y0": 0, "x1": 2, "y1": 2}] if name == "boxes" else npy(np.eye(4))
    with pytest.raises(InputError, match=f"{name}: given for 2 photos; allowed for a single photo") as error:
        measure(linear(np.ones((4, 4)), photo, photo), **{name: [value] if name == "masks" else value}, **FEW)
    assert error.value.field == name
