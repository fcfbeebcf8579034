"""Weights of a model: arrays until the network is first used, which is built once."""

import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from zfscope.networks import Network
from zfscope.networks import network as networks
from zfscope.store import Model, ModelStore, Weights

Write = Callable[..., Path]
THREADS = 8


@pytest.fixture
def model(write: Write) -> Model:
    return ModelStore(write().parent.parent).load("tiny-net")


def test_concurrent_first_uses_build_the_network_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    build, built = networks.network_with_weights, list[Network]()
    all_started, building = threading.Barrier(THREADS), threading.Event()

    def build_slowly(*arguments: object) -> Network:
        building.wait(60)
        built.append(build(*arguments))  # type: ignore[arg-type]
        return built[-1]

    monkeypatch.setattr(networks, "network_with_weights", build_slowly)
    used: list[Network] = []

    def use() -> None:
        all_started.wait(60)
        used.append(model.network)

    threads = [threading.Thread(target=use) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    building.set()
    for thread in threads:
        thread.join(60)
    assert len(built) == 1
    assert len(used) == THREADS
    assert all(network is built[0] for network in used)


def test_the_arrays_are_the_same_before_and_after_the_network_is_built(model: Model) -> None:
    before = model.weights.arrays()
    state = model.network.layers.state_dict()
    after = model.weights.arrays()
    assert before.keys() == after.keys() == state.keys()
    for name, tensor in state.items():
        assert before[name].dtype == after[name].dtype == np.float32
        np.testing.assert_array_equal(before[name], tensor.numpy())
        np.testing.assert_array_equal(after[name], tensor.numpy())


def test_a_network_first_used_in_inference_mode_supports_gradients(model: Model) -> None:
    with torch.inference_mode():
        network = model.network
    images = torch.zeros(1, 3, 8, 8, requires_grad=True)
    network(images).sum().backward()
    assert images.grad is not None


def test_weights_can_be_moved_to_a_device_before_and_after_the_network_is_built(model: Model) -> None:
    unbuilt = model.weights.on_device("meta")
    assert next(unbuilt.network.parameters()).device.type == "meta"
    assert next(model.network.parameters()).device.type == "cpu"  # a separate copy of the weights
    built = Weights.from_network(model.network).on_device("meta")
    assert next(built.network.parameters()).device.type == "meta"


def test_the_spec_of_a_model_is_that_of_its_network(model: Model) -> None:
    assert model.spec == model.manifest.network == model.network.spec


@pytest.mark.parametrize("built", [False, True])
def test_a_model_sent_to_another_process_computes_the_same(model: Model, built: bool) -> None:
    images = torch.ones(1, *model.network.shapes["input"]) if built else None
    sent = pickle.loads(pickle.dumps(model))
    assert sent.weights_sha256 == model.weights_sha256
    images = torch.ones(1, *sent.network.shapes["input"]) if images is None else images
    assert torch.equal(sent.network(images), model.network(images))
    assert sent.weights.network is sent.network
