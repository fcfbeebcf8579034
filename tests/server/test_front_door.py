"""One interface, three clients: every method of each on the same photo, and what calls are cancelled by."""

import asyncio
import dataclasses
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
# Every method with a result: its arguments, given the photo.
CALLS: Mapping[str, Callable[[bytes], tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "models": lambda _: ((), {}),
    "model": lambda _: (("tiny", 1), {}),
    "classify": lambda photo: ((photo,), {**TINY, "top": 3, "ten_crop": True}),
    "analyzers": lambda _: (("tiny", 1), {}),
    "project": lambda photo: (
        (photo,),
        {**TINY, "layer": "conv1", "units": [Unit(3, 1, 2), Unit(0)], "control": True, "tensors": True},
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
    "compare_architectures": lambda photo: ((["tiny:1", "tiny:2"], [photo]), {"tensors": True}),
    "top_k": lambda _: (
        (),
        {**TINY, "layer": "conv5", "count": 2, "top": 3, "control": True, "tensors": True},
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
    "occlude",
    "measure_invariance",
    "correspond",
    "compare_architectures",
    "top_k",
    "evolve",
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a model; the first has a checkpoint, and indexes of it and of itself."""
    store, folder = tmp_path_factory.mktemp("door"), tmp_path_factory.mktemp("files")
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
    for number in range(6):
        drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(drawn).resize((60, 48), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    (folder / "checkpoint").unlink()
    models = ModelStore(store)
    index_photos(models.load("tiny", 1), folder, "photos", ["conv1", "conv5"])
    index_photos(models.load_checkpoint("tiny", 1, version=1), folder, "photos-epoch-001", ["conv1", "conv5"])
    return store


@pytest.fixture(scope="module")
def remote(door: Path, settings: Any) -> Iterator[Client]:
    with run_service(settings.model_copy(update={"store": door, "workers": 1})) as service:
        service.warm_up()
        with Client(service.address) as client:
            yield client


@pytest.fixture(scope="module")
def local(door: Path) -> Iterator[LocalClient]:
    with LocalClient(door, runtime="torch") as client:
        yield client


def asynchronous(remote: Client, name: str, *arguments: Any, **options: Any) -> Any:
    """Call a method of an AsyncClient of the same service."""

    async def call() -> Any:
        async with AsyncClient(remote._connection.target.text) as client:
            return await getattr(client, name)(*arguments, **options)

    return asyncio.run(call())


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Compare answers of two processes: numbers up to rounding, pictures by what they are called."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-6), where
        return
    assert type(one) is type(other), where
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5, err_msg=where)
    elif parts := parts_parameter(one):
        twins = parts_parameter(other)
        assert set(parts) == set(twins), where
        for name, part in parts.items():
            assert_same(part, twins[name], f"{where}.{name}")
    else:
        assert one == other, where


def parts_parameter(answer: Any) -> dict[Any, Any]:
    """Return what an answer is made of, by name or index; nothing for a plain value."""
    if dataclasses.is_dataclass(answer):
        fields = dataclasses.fields(answer)
        return {field.name: getattr(answer, field.name) for field in fields if field.name != "png"}
    if isinstance(answer, Mapping):
        return dict(answer)
    return dict(enumerate(answer)) if isinstance(answer, list | tuple) else {}


@pytest.mark.parametrize("name", CALLS)
def test_every_client_returns_the_same_results(
    remote: Client, local: LocalClient, photo: bytes, name: str
) -> None:
    arguments, options = CALLS[name](photo)
    of_service = getattr(remote, name)(*arguments, **options)
    assert_same(getattr(local, name)(*arguments, **options), of_service, name)
    assert_same(asynchronous(remote, name, *arguments, **options), of_service, name)


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
    silent = getattr(remote, name)(*arguments, **options)
    for call in (
        getattr(remote, name),
        getattr(local, name),
        lambda *arguments, **options: asynchronous(remote, name, *arguments, **options),
    ):
        reports: list[Progress] = []
        assert_same(call(*arguments, **options, progress=reports.append), silent, name)
        shares = [report.fraction for report in reports]
        assert shares == sorted(shares)
    assert reports or name in {"project", "compare_architectures"}


@pytest.mark.parametrize("progress", [None, lambda _: None])
@pytest.mark.parametrize(
    ("call", "error", "field"),
    [
        (lambda client, photo, **more: client.project(photo, layer="conv9", **more), NotFound, "layer"),
        (lambda client, photo, **more: client.occlude(photo, window=0, **more), InputError, "window"),
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


# An occlusion of many windows.
SLOW: Any = {**TINY, "window": 2, "stride": 1, "method": "full"}


@pytest.mark.parametrize("name", CALLS)
def test_an_unknown_option_is_rejected(remote: Client, local: LocalClient, photo: bytes, name: str) -> None:
    arguments, options = CALLS[name](photo)
    for call in (
        getattr(remote, name),
        getattr(local, name),
        lambda *arguments, **options: asynchronous(remote, name, *arguments, **options),
    ):
        with pytest.raises(InputError, match=r"^timeout is not known; .*did you mean 'timeout_s'\?$"):
            call(*arguments, **options, timeout=1)


@pytest.mark.parametrize("progress", [None, lambda _: None])
def test_a_call_can_be_cancelled_from_another_thread(
    remote: Client, local: LocalClient, photo: bytes, progress: Any
) -> None:
    more = {} if progress is None else {"progress": progress}
    for call in (remote.occlude, local.occlude, lambda *a, **o: asynchronous(remote, "occlude", *a, **o)):
        cancel, cancelled_at = Cancellation(), [0.0]

        def later(cancel: Cancellation = cancel, at: list[float] = cancelled_at) -> None:
            at[0] = time.monotonic()
            cancel.cancel()

        threading.Timer(0.3, later).start()
        with pytest.raises(Cancelled, match="cancelled"):
            call(photo, **SLOW, cancel=cancel, **more)
        assert time.monotonic() - cancelled_at[0] < 5
        with pytest.raises(Cancelled):
            call(photo, **SLOW, cancel=cancel)  # it cannot be undone
    assert remote.project(photo, **TINY, layer="conv1", top=1)  # its worker is free


def test_cancelling_a_task_cancels_its_call(remote: Client, photo: bytes) -> None:
    async def leave() -> None:
        async with AsyncClient(remote._connection.target.text) as client:
            task = asyncio.create_task(client.occlude(photo, **SLOW))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(leave())
    assert remote.project(photo, **TINY, layer="conv1", top=1)


@pytest.mark.parametrize("progress", [None, lambda _: None])
def test_a_call_can_have_its_own_time_limit(
    remote: Client, local: LocalClient, photo: bytes, progress: Any
) -> None:
    more = {} if progress is None else {"progress": progress}
    for call in (remote.occlude, local.occlude, lambda *a, **o: asynchronous(remote, "occlude", *a, **o)):
        with pytest.raises(Cancelled):
            call(photo, **SLOW, timeout_s=0.3, **more)
    with pytest.raises(TooLate, match=r"the call took longer than its time limit of 0\.3 s"):
        local.occlude(photo, **SLOW, timeout_s=0.3)


def test_many_threads_can_share_a_local_client(local: LocalClient, photo: bytes) -> None:
    alone = local.classify(photo, **TINY)
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
        assert_same(answer, alone)


def test_public_names_are_loaded_on_first_use() -> None:
    for name in zfscope.__all__:
        assert getattr(zfscope, name) is not None
    with pytest.raises(AttributeError, match="module 'zfscope' has no attribute 'Here'"):
        zfscope.Here  # noqa: B018


def test_results_are_displayed_in_notebooks(local: LocalClient, photo: bytes, tmp_path: Path) -> None:
    seen = local.project(photo, **TINY, layer="conv1", top=1)
    assert seen.sheet is not None
    assert seen._repr_png_() == seen.sheet.png
    assert seen.sheet.image().size > (0, 0)
    seen.sheet.save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes() == seen.sheet.png
    assert "<td>bee</td>" in local.classify(photo, **TINY)._repr_html_()
    assert "<td>conv1</td>" in local.model("tiny", 1)._repr_html_()
    shown = local.analyze("project", [photo], {"layer": "conv1", "top": 1}, **TINY)._repr_html_()
    assert "<td>conv1</td>" in shown
    assert 'src="data:image/png;base64,' in shown
