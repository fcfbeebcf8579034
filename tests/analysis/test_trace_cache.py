"""The trace cache: what is shared, by which key, and how much memory it takes."""

import io
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from PIL import Image

from zfscope.analysis.contract import Context, trace_pixels
from zfscope.analysis.control import control_network
from zfscope.analysis.trace_cache import TraceCache, trace_cache
from zfscope.engine.trace import Trace
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode_photo
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared, Preprocessing, prepare_photo
from zfscope.networks import Network, NetworkSpec
from zfscope.store import Label, Manifest, Model, Provenance
from zfscope.store.manifest import WEIGHTS
from zfscope.store.weights import Weights

LIMITS = DecodeLimits()
Lookups = Mapping[tuple[str, str], int]


def png(seed: int = 0, *, channels: int = 3, compression: int = 6) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 60, channels), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=compression)
    return file.getvalue()


@pytest.fixture
def make_model(tiny_spec: NetworkSpec, seeded_network: Callable[..., Network]) -> Callable[..., Model]:
    """Returns models with weights drawn with a seed."""

    def make(name: str = "tiny", *, version: int = 1, seed: int = 0, short_side: int = 36) -> Model:
        manifest = Manifest(
            name=name,
            version=version,
            summary="Random weights",
            network=tiny_spec,
            preprocessing=Preprocessing(short_side=short_side, centre=36, crop=33),
            labels=tuple(Label(id=f"n{number}", name=f"class {number}") for number in range(4)),
            provenance=Provenance(source="made up in a test"),
            files={WEIGHTS: f"{seed:064x}"},
        )
        network = seeded_network(tiny_spec, dtype=torch.float32, seed=seed)
        return Model(manifest, Weights.from_network(network))

    return make


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model()


@pytest.fixture
def lookups() -> Counter[tuple[str, str]]:
    return Counter()


@pytest.fixture
def cache(lookups: Counter[tuple[str, str]]) -> TraceCache:
    return trace_cache(10 << 20, observe=lambda *lookup: lookups.update([lookup]))


def prepare(cache: TraceCache, model: Model, data: bytes, *, field: str = "image") -> Prepared:
    return cache.prepare(data, model, limits=LIMITS, field=field)


def own_bytes(traced: Trace) -> int:
    """Return the memory of a trace whose layers share none."""
    return sum(
        each.numel() * each.element_size() for each in (*traced.outputs.values(), *traced.switches.values())
    )


def assert_equal(one: Trace, other: Trace) -> None:
    for ours, expected in ((one.outputs, other.outputs), (one.switches, other.switches)):
        assert list(ours) == list(expected)
        assert all(torch.equal(ours[layer], expected[layer]) for layer in expected)


def test_a_prepared_photo_equals_one_prepared_without_the_cache(cache: TraceCache, model: Model) -> None:
    expected = prepare_photo(decode_photo(png()), model.preprocessing)
    for _ in range(2):
        result = prepare(cache, model, png())
        np.testing.assert_array_equal(result.photo, expected.photo)
        np.testing.assert_array_equal(result.views, expected.views)
        np.testing.assert_array_equal(result.pixels, expected.pixels)
        assert result.geometries == expected.geometries


def test_a_photo_is_decoded_once_for_all_models_and_prepared_once_for_each(
    cache: TraceCache, lookups: Lookups, make_model: Callable[..., Model]
) -> None:
    models = [make_model("one"), make_model("two", short_side=40), make_model("one", version=2)]
    for model in models * 2:
        prepare(cache, model, png())
    assert lookups == {
        ("photo", "miss"): 1,
        ("photo", "hit"): 2,
        ("input", "miss"): 3,
        ("input", "hit"): 3,
    }


def test_another_file_or_other_limits_are_decoded_again(
    cache: TraceCache, lookups: Lookups, model: Model
) -> None:
    prepare(cache, model, png(1))
    prepare(cache, model, png(2))
    cache.prepare(png(1), model, limits=DecodeLimits(pixels=48 * 60))
    assert lookups[("photo", "miss")] == 3
    with pytest.raises(InputError, match="allowed: at most 100"):
        cache.prepare(png(1), model, limits=DecodeLimits(pixels=100))


def test_a_file_that_cannot_be_decoded_fails_each_time_with_the_field_of_the_caller(
    cache: TraceCache, model: Model
) -> None:
    for field in ("image", "images[1]"):
        with pytest.raises(InputError) as error:
            prepare(cache, model, png()[:100], field=field)
        assert error.value.field == field
    assert cache.size_bytes == 0


def test_warnings_name_the_field_of_the_caller(cache: TraceCache, model: Model) -> None:
    data = png(channels=4)
    fields = [prepare(cache, model, data, field=field).warnings[0].field for field in ("image", "images[1]")]
    assert fields == ["image", "images[1]"]


def test_a_caller_that_changes_its_crops_changes_nobody_elses(cache: TraceCache, model: Model) -> None:
    first = prepare(cache, model, png())
    traced = cache.trace(model, first.pixels)
    expected = traced.outputs["input"].clone()
    first.pixels[:], first.views[:] = 0, 0
    second = prepare(cache, model, png())
    assert second.pixels.any()
    assert second.views.any()
    assert torch.equal(traced.outputs["input"], expected)
    with pytest.raises(ValueError, match="read-only"):
        second.photo[:] = 0


def test_a_trace_equals_one_of_the_engine_and_is_computed_once(
    cache: TraceCache, lookups: Lookups, model: Model
) -> None:
    pixels = prepare(cache, model, png()).pixels
    first, second = cache.trace(model, pixels), cache.trace(model, pixels.copy())
    assert first is second
    assert_equal(first, trace_pixels(model, pixels))
    assert lookups[("trace", "miss")] == lookups[("trace", "hit")] == 1


def test_files_with_the_same_pixels_share_a_trace(cache: TraceCache, model: Model) -> None:
    one, other = (prepare(cache, model, png(compression=level)).pixels for level in (0, 9))
    assert cache.trace(model, one) is cache.trace(model, other)


def test_a_partial_trace_is_extended_and_keeps_its_tensors(
    cache: TraceCache, lookups: Lookups, model: Model
) -> None:
    pixels = prepare(cache, model, png()).pixels
    early = cache.trace(model, pixels, "pool1")
    assert list(early.outputs)[-1] == "pool1"
    full = cache.trace(model, pixels)
    assert_equal(full, trace_pixels(model, pixels))
    assert all(full.outputs[layer] is early.outputs[layer] for layer in early.outputs)
    assert cache.trace(model, pixels, "conv1") is full
    assert lookups[("trace", "miss")] == lookups[("trace", "extended")] == lookups[("trace", "hit")] == 1


def test_models_and_weights_have_traces_of_their_own(
    cache: TraceCache, make_model: Callable[..., Model]
) -> None:
    models = [make_model(), make_model(seed=1), make_model("other"), make_model(version=2)]
    pixels = prepare(cache, models[0], png()).pixels
    traces = [cache.trace(model, pixels) for model in models]
    assert len({id(traced) for traced in traces}) == 4
    assert_equal(traces[1], trace_pixels(models[1], pixels))


def test_changed_pixels_have_a_trace_of_their_own(cache: TraceCache, model: Model) -> None:
    pixels = prepare(cache, model, png()).pixels
    cache.trace(model, pixels)
    pixels[0, 0, 0, 0] += 1
    assert_equal(cache.trace(model, pixels), trace_pixels(model, pixels))


def test_invalid_inputs_and_layers_are_rejected_although_a_trace_is_kept(
    cache: TraceCache, model: Model
) -> None:
    pixels = prepare(cache, model, png()).pixels
    cache.trace(model, pixels)
    with pytest.raises(InputError, match="images of shape"):
        cache.trace(model, pixels[0])
    with pytest.raises(NotFound, match="conv9"):
        cache.trace(model, pixels, "conv9")


def test_the_size_is_that_of_the_arrays_and_tensors(cache: TraceCache, model: Model) -> None:
    first = prepare(cache, model, png())
    photo = first.photo.nbytes + first.views.nbytes + first.pixels.nbytes
    assert cache.size_bytes == photo
    traced = cache.trace(model, first.pixels)
    assert cache.size_bytes <= photo + own_bytes(traced)
    assert cache.size_bytes >= photo + sum(traced.outputs[layer].nbytes for layer in ("conv1", "conv2"))
    cache.clear()
    assert cache.size_bytes == 0


def test_the_size_stays_within_the_limit(model: Model) -> None:
    limit = 300_000
    cache = trace_cache(limit)
    for seed in range(12):
        cache.trace(model, prepare(cache, model, png(seed)).pixels)
        assert 0 < cache.size_bytes <= limit


def test_what_belongs_to_a_model_is_dropped_with_it(
    cache: TraceCache, lookups: Lookups, make_model: Callable[..., Model]
) -> None:
    gone, other = make_model(), make_model("other")
    for model in (gone, other):
        cache.trace(model, prepare(cache, model, png()).pixels)
    cache.drop_model(gone)
    before = dict(lookups)
    cache.trace(other, prepare(cache, other, png()).pixels)
    assert lookups[("trace", "miss")] == before[("trace", "miss")]
    cache.trace(gone, prepare(cache, gone, png()).pixels)
    assert lookups[("trace", "miss")] == before[("trace", "miss")] + 1


def test_a_cache_of_0_bytes_keeps_nothing(model: Model) -> None:
    cache = trace_cache(0)
    pixels = prepare(cache, model, png()).pixels
    assert cache.trace(model, pixels) is not cache.trace(model, pixels)
    assert cache.size_bytes == 0


def test_a_context_traces_the_crop_of_a_photo_with_its_own_model(
    cache: TraceCache, make_model: Callable[..., Model]
) -> None:
    model, other = make_model(), make_model("other", seed=1)
    images = (prepare(cache, model, png(1)), prepare(cache, model, png(2)))
    for each in (model, other):
        shared = Context(each, None, images, tracer=cache.trace)  # type: ignore[arg-type]  # no runtime needed
        alone = Context(each, None, images)  # type: ignore[arg-type]  # no runtime needed
        assert shared.trace(1) is shared.trace(1, until="conv1")
        assert_equal(shared.trace(1), alone.trace(1))
        assert_equal(shared.trace(1), trace_pixels(each, images[1].pixels))


def test_a_control_network_is_randomised_once_and_its_unused_layers_take_no_memory(
    cache: TraceCache, lookups: Lookups, model: Model
) -> None:
    control = cache.randomise(model, "conv2")
    assert cache.randomise(model, "conv2") is control
    assert cache.randomise(model, "conv2", "conv2") is not control
    assert (lookups[("control", "miss")], lookups[("control", "hit")]) == (2, 1)
    expected = control_network(model.network, "conv2").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in control.state_dict().items())
    sizes = {name: filters.weight.nbytes for name, filters in control.filters.items()}
    biases = sum(filters.bias.nbytes for filters in control.filters.values() if filters.bias is not None)
    used = sizes.pop("conv1") + sizes.pop("conv2")
    assert cache.size_bytes == 2 * (used + biases + 4 * len(sizes))
    cache.drop_model(model)
    assert cache.size_bytes == 0
