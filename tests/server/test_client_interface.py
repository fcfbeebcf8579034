"""Client, LocalClient and AsyncClient: same methods, results and errors; cancellation and time limits."""

import asyncio
import dataclasses
import hashlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import zfscope
from tests.server.conftest import SPEC, run_service, write_random_model
from tests.support.indexes import index_photos
from zfscope import AsyncClient, Box, Cancellation, Client, LocalClient, Unit
from zfscope.client import ClientMethods, Progress
from zfscope.errors import Cancelled, InputError, NotFound, TooLate
from zfscope.networks import build
from zfscope.store import ModelStore

TINY: Any = {"model": "tiny", "version": 1}
# Arguments of every method that returns a result, given a photo.
CALLS: Mapping[str, Callable[[bytes], tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "models": lambda _: ((), {}),
    "model": lambda _: (("tiny", 1), {}),
    "classify": lambda photo: ((photo,), {**TINY, "top": 3, "ten_crop": True}),
    "analyzers": lambda _: (("tiny", 1), {}),
    "project": lambda photo: (
        (photo,),
        {**TINY, "layer": "conv1", "units": [Unit(3, 1, 2), Unit(0)], "control": True, "tensors": True},
    ),
    "activations": lambda photo: (
        (photo,),
        {**TINY, "layer": "conv5", "box": Box(15, 10, 30, 40), "top": 3, "rank": "sum", "tensors": True},
    ),
    "occlude": lambda photo: (
        (photo,),
        {**TINY, "window": 8, "stride": 8, "classes": ["bee", "n2"], "layer": "conv5", "tensors": True},
    ),
    "measure_invariance": lambda photo: (
        ([photo, photo],),
        {
            **TINY,
            "transformations": ["scale"],
            "scales": [1, 0.5],
            "layers": ["conv1", "fc6"],
            "tensors": True,
        },
    ),
    "correspond": lambda photo: (
        ([photo, photo], {"nose": [Box(20, 20, 30, 30), Box(22, 20, 32, 31)]}),
        {**TINY, "layers": ["conv1"], "random": 2, "tensors": True},
    ),
    "measure_faithfulness": lambda photo: (
        ([photo],),
        {
            **TINY,
            "method_parameters": {"window": 16, "stride": 16},
            "step": 0.2,
            "random": 2,
            "boxes": [Box(10, 10, 30, 30)],
            "tensors": True,
        },
    ),
    "compare_architectures": lambda photo: ((["tiny:1", "tiny:2"], [photo]), {"tensors": True}),
    "top_k": lambda _: (
        (),
        {**TINY, "layer": "conv5", "count": 2, "top": 3, "control": True, "tensors": True},
    ),
    "indexed_photo": lambda photo: (
        (hashlib.blake2b(photo, digest_size=16).hexdigest(),),
        {**TINY, "index": "photos"},
    ),
    "evolve": lambda _: ((), {**TINY, "index": "photos", "layer": "conv5", "count": 2, "tensors": True}),
    "analyze": lambda photo: (
        ("project", [photo], {"layer": "conv1", "top": 2}),
        {**TINY, "tensors": True, "pictures": False},
    ),
}
METHODS = [
    name for name, _ in inspect.getmembers(ClientMethods, inspect.isfunction) if not name.startswith("_")
]
ANALYSES = (
    "project",
    "activations",
    "occlude",
    "measure_invariance",
    "measure_faithfulness",
    "correspond",
    "compare_architectures",
    "top_k",
    "evolve",
)


@pytest.fixture(scope="module")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two versions of a model. The first has a checkpoint, and an index of each of the two."""
    store, folder = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("files")
    network = build(SPEC, generator=torch.Generator().manual_seed(41))
    save_file(
        {
            f"{name}.{part}": tensor.contiguous()
            for name, filters in network.filters.items()
            if name.startswith("conv")
            for part, tensor in filters.state_dict().items()
        },
        folder / "checkpoint",
    )
    write_random_model(store, "tiny", 1, checkpoints={1: folder / "checkpoint"})
    write_random_model(store, "tiny", 2)
    for number in range(2, 8):  # the last is the fixture `photo`
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((60, 48), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    (folder / "checkpoint").unlink()
    models = ModelStore(store)
    index_photos(models.load("tiny", 1), folder, "photos", ["conv1", "conv5"])
    index_photos(models.load_checkpoint("tiny", 1, version=1), folder, "photos-epoch-001", ["conv1", "conv5"])
    return store


@pytest.fixture(scope="module")
def remote(model_store: Path, settings: Any) -> Iterator[Client]:
    with run_service(settings.model_copy(update={"store": model_store, "workers": 1})) as service:
        service.warm_up()
        with Client(service.address) as client:
            yield client


@pytest.fixture(scope="module")
def local(model_store: Path) -> Iterator[LocalClient]:
    with LocalClient(model_store, runtime="torch") as client:
        yield client


def call_async(remote: Client, name: str, *arguments: Any, **options: Any) -> Any:
    """Call a method of an AsyncClient connected to the same service."""

    async def call() -> Any:
        async with AsyncClient(remote._connection.target.text) as client:
            return await getattr(client, name)(*arguments, **options)

    return asyncio.run(call())


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Compare two results: numbers within rounding, pictures without their PNG data.

    path: attribute or index that is compared, for the failure message.
    """
    if isinstance(one, int | float) and isinstance(other, int | float):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-6), path
        return
    assert type(one) is type(other), path
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, path
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5, err_msg=path)
    elif parts := parts_of(one):
        other_parts = parts_of(other)
        assert set(parts) == set(other_parts), path
        for name, part in parts.items():
            assert_same(part, other_parts[name], f"{path}.{name}")
    else:
        assert one == other, path


def parts_of(value: Any) -> dict[Any, Any]:
    """Return the fields or items of a value by name or index; empty for a plain value."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: getattr(value, field.name) for field in fields if field.name != "png"}
    if isinstance(value, Mapping):
        return dict(value)
    return dict(enumerate(value)) if isinstance(value, list | tuple) else {}


@pytest.mark.parametrize("name", CALLS)
def test_every_client_returns_the_same_results(
    remote: Client, local: LocalClient, photo: bytes, name: str
) -> None:
    arguments, options = CALLS[name](photo)
    expected = getattr(remote, name)(*arguments, **options)
    assert_same(getattr(local, name)(*arguments, **options), expected, name)
    assert_same(call_async(remote, name, *arguments, **options), expected, name)


def test_every_method_of_the_interface_is_compared() -> None:
    assert set(METHODS) - {"close", "health", "wait_until_ready"} == set(CALLS)


@pytest.mark.parametrize("name", METHODS)
def test_every_client_has_the_same_signatures(name: str) -> None:
    for client in (Client, LocalClient, AsyncClient):
        assert inspect.signature(getattr(client, name)).parameters == (
            inspect.signature(getattr(ClientMethods, name)).parameters
        ), client


@pytest.mark.parametrize("name", ANALYSES)
def test_reporting_progress_does_not_change_the_result(
    remote: Client, local: LocalClient, photo: bytes, name: str
) -> None:
    arguments, options = CALLS[name](photo)
    expected = getattr(remote, name)(*arguments, **options)
    for call in (
        getattr(remote, name),
        getattr(local, name),
        lambda *arguments, **options: call_async(remote, name, *arguments, **options),
    ):
        reports: list[Progress] = []
        assert_same(call(*arguments, **options, progress=reports.append), expected, name)
        fractions = [report.fraction for report in reports]
        assert fractions == sorted(fractions)
    assert reports or name in {"project", "activations", "compare_architectures"}


def test_every_client_reports_partial_results_on_request(
    remote: Client, local: LocalClient, photo: bytes
) -> None:
    for call in (remote.occlude, local.occlude, lambda *a, **o: call_async(remote, "occlude", *a, **o)):
        reports: list[Progress] = []
        options = {**TINY, "window": 4, "stride": 2, "pictures": False, "progress": reports.append}
        result = call(photo, **options, tensors=True, partial_results=True)
        partials = [report.partial for report in reports if report.partial is not None]
        assert partials
        for partial in partials:
            finished = int(partial.numbers["finished"])
            assert partial.numbers["windows"] == result.windows
            assert partial.tensors["values"].shape == (1, finished)
            assert partial.tensors["windows"].shape == (finished, 4)
            assert partial.pictures == ()
        reports.clear()
        call(photo, **options, partial_results=False)
        assert reports
        assert not any(report.partial for report in reports)
    reports.clear()
    local.occlude(photo, **options)
    assert not any(report.partial for report in reports)


@pytest.mark.parametrize("progress", [None, lambda _: None])
@pytest.mark.parametrize(
    ("call", "error", "field"),
    [
        (lambda client, photo, **more: client.project(photo, layer="conv9", **more), NotFound, "layer"),
        (lambda client, photo, **more: client.occlude(photo, window=0, **more), InputError, "window"),
        (lambda client, photo, **more: client.activations(photo, y=9, x=900, **more), InputError, "x"),
        (lambda client, photo, **more: client.activations(photo, y=20, **more), InputError, "x"),
        (lambda client, _, **more: client.occlude(b"no photo", **more), InputError, "image.encoded"),
        (
            lambda client, photo, **more: client.compare_architectures(["tiny", "no"], [photo], **more),
            NotFound,
            "models[1]",
        ),
        (
            lambda client, photo, **more: client.correspond([photo, b"bad"], {"a": []}, **more),
            InputError,
            "images[1].encoded",
        ),
        (lambda client, photo, **more: client.project(photo, layers="conv1", **more), InputError, "layers"),
    ],
)
def test_errors_of_every_client_name_the_same_field(
    remote: Client, local: LocalClient, photo: bytes, call: Any, error: type, field: str, progress: Any
) -> None:
    more = {} if progress is None else {"progress": progress}
    for client in (remote, local):
        with pytest.raises(error) as caught:
            call(client, photo, model="tiny", **more) if field != "models[1]" else call(client, photo, **more)
        assert caught.value.field == field, client


# An occlusion that takes a third of a second or more: many windows, each a full pass; and a fraction of that.
SLOW: Any = {**TINY, "window": 2, "stride": 1, "method": "full"}
SOON_S = 0.05


@pytest.mark.parametrize("name", CALLS)
def test_an_unknown_option_is_rejected(remote: Client, local: LocalClient, photo: bytes, name: str) -> None:
    arguments, options = CALLS[name](photo)
    for call in (
        getattr(remote, name),
        getattr(local, name),
        lambda *arguments, **options: call_async(remote, name, *arguments, **options),
    ):
        with pytest.raises(InputError, match=r"^timeout is not known; .*did you mean 'timeout_s'\?$"):
            call(*arguments, **options, timeout=1)


@pytest.mark.parametrize("progress", [None, lambda _: None])
def test_a_call_can_be_cancelled_from_another_thread(
    remote: Client, local: LocalClient, photo: bytes, progress: Any
) -> None:
    more = {} if progress is None else {"progress": progress}
    for call in (remote.occlude, local.occlude, lambda *a, **o: call_async(remote, "occlude", *a, **o)):
        cancel, cancelled_at = Cancellation(), [0.0]

        def cancel_call(cancel: Cancellation = cancel, at: list[float] = cancelled_at) -> None:
            at[0] = time.monotonic()
            cancel.cancel()

        threading.Timer(SOON_S, cancel_call).start()
        with pytest.raises(Cancelled, match="cancelled"):
            call(photo, **SLOW, cancel=cancel, **more)
        assert time.monotonic() - cancelled_at[0] < 5
        with pytest.raises(Cancelled):
            call(photo, **SLOW, cancel=cancel)  # a cancellation is permanent
    assert remote.project(photo, **TINY, layer="conv1", top=1)  # the worker is free again


def test_cancelling_a_task_cancels_its_call(remote: Client, photo: bytes) -> None:
    async def cancel_task() -> None:
        async with AsyncClient(remote._connection.target.text) as client:
            task = asyncio.create_task(client.occlude(photo, **SLOW))
            await asyncio.sleep(SOON_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel_task())
    assert remote.project(photo, **TINY, layer="conv1", top=1)


@pytest.mark.parametrize("progress", [None, lambda _: None])
def test_a_call_can_have_its_own_time_limit(
    remote: Client, local: LocalClient, photo: bytes, progress: Any
) -> None:
    more = {} if progress is None else {"progress": progress}
    for call in (remote.occlude, local.occlude, lambda *a, **o: call_async(remote, "occlude", *a, **o)):
        with pytest.raises(Cancelled):
            call(photo, **SLOW, timeout_s=SOON_S, **more)
    with pytest.raises(TooLate, match=r"the call took longer than its time limit of 0\.05 s"):
        local.occlude(photo, **SLOW, timeout_s=SOON_S)


def test_many_threads_can_share_a_local_client(local: LocalClient, photo: bytes) -> None:
    expected = local.classify(photo, **TINY)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(local.classify(photo, **TINY))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    for answer in answers:
        assert_same(answer, expected)


def test_public_names_are_loaded_on_first_use() -> None:
    for name in zfscope.__all__:
        assert getattr(zfscope, name) is not None
    with pytest.raises(AttributeError, match="module 'zfscope' has no attribute 'Here'"):
        zfscope.Here  # noqa: B018


def test_results_are_displayed_in_notebooks(local: LocalClient, photo: bytes, tmp_path: Path) -> None:
    answer = local.project(photo, **TINY, layer="conv1", top=1)
    assert answer.sheet is not None
    assert answer._repr_png_() == answer.sheet.png
    assert answer.sheet.image().size > (0, 0)
    answer.sheet.save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes() == answer.sheet.png
    assert "<td>bee</td>" in local.classify(photo, **TINY)._repr_html_()
    assert "<td>conv1</td>" in local.model("tiny", 1)._repr_html_()
    html = local.analyze("project", [photo], {"layer": "conv1", "top": 1}, **TINY)._repr_html_()
    assert "<td>conv1</td>" in html
    assert 'src="data:image/png;base64,' in html
