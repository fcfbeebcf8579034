"""`zfscope models import`, with a small network exported by onnx's helper functions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.support.opaque_models import opaque_graph
from zfscope.store import ModelStore

Run = Callable[..., Any]


def small(*, channels: int = 3, size: int | str = 32, bias: float = 0.0) -> ModelProto:
    """Return a network of one convolution and three classes, with a softmax."""
    generator = np.random.default_rng(0)
    shapes = {"conv1.weight": (4, channels, 3, 3), "fc.weight": (3, 4)}
    weights = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    weights["fc.bias"] = np.full(3, bias)
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight"], ["c"], name="/conv1/Conv"),
        helper.make_node("Relu", ["c"], ["r"], name="/relu1/Relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="/pool/GlobalAveragePool"),
        helper.make_node("Flatten", ["p"], ["f"], name="/Flatten"),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["s"], name="/fc/Gemm", transB=1),
        helper.make_node("Softmax", ["s"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", channels, size, size])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    onnx.save(small(), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


@pytest.fixture
def import_model(run: Run, graph: Path, tmp_path: Path) -> Run:
    """Imports the graph into a separate store."""

    def import_graph(*options: object, file: Path = graph) -> Any:
        return run("models", "import", file, "--name", "other", "--store", tmp_path / "store", *options)

    return import_graph


def test_an_imported_model_is_added_to_the_store(import_model: Run, tmp_path: Path) -> None:
    result = import_model()
    assert result.code == 0
    assert "the preprocessing of model 'other' version 1 is an assumption" in result.stderr
    assert "inspect it with: zfscope models other" in result.stdout
    manifest = ModelStore(tmp_path / "store").verify("other")
    assert [label.name for label in manifest.labels] == ["class 0", "class 1", "class 2"]
    assert [layer.name for layer in manifest.network.layers] == ["conv1", "relu1", "pool", "flatten", "fc"]
    assert manifest.provenance.source == "Imported from 'small.onnx'"
    card = (tmp_path / "store" / "other" / "1" / "README.md").read_text()
    assert "5 tensors were compared with ONNX Runtime" in card
    assert "Weights are stored as float32." in card


def test_the_preprocessing_is_that_of_the_options(import_model: Run, tmp_path: Path) -> None:
    resampling = ("--resize", 40, "--interpolation", "bicubic")
    result = import_model("--preprocessing", "tensorflow", *resampling, "--channels", "BGR")
    assert (result.code, result.stderr) == (0, "")
    steps = ModelStore(tmp_path / "store").manifest("other").preprocessing
    assert (steps.short_side, steps.crop, steps.interpolation) == (40, 32, "bicubic")
    assert (steps.channels, steps.mean, steps.std) == ("BGR", (127.5,) * 3, (127.5,) * 3)


def test_mean_and_std_alone_state_the_preprocessing(import_model: Run, tmp_path: Path) -> None:
    assert import_model("--mean", "10,20,30", "--std", "64").stderr == ""
    steps = ModelStore(tmp_path / "store").manifest("other").preprocessing
    assert (steps.mean, steps.std) == ((10.0, 20.0, 30.0), (64.0,) * 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preprocessing", "keras"), "preprocessing 'keras' not found; available: torchvision, "),
        (("--mean", "1,x"), "mean is '1,x'; expected numbers such as 123.7,116.3,103.5"),
        (("--mean", "0.485,0.456,0.406"), "mean"),
        (("--channels", "grey"), "channels 'grey' does not match a network of 3 input channels"),
        (("--resize", "16"), "resize 16 is out of range"),
        (("--size", "64"), "input 'image' is 32 x 32 pixels, not 64 x 64"),
        (("--output", "other"), "output 'other' not found; available: probabilities"),
    ],
)
def test_invalid_options_are_rejected_and_nothing_is_written(
    import_model: Run, tmp_path: Path, options: Sequence[str], message: str
) -> None:
    result = import_model(*options)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
    assert not (tmp_path / "store").exists()


def test_an_open_input_size_must_be_set(import_model: Run, tmp_path: Path) -> None:
    onnx.save(small(size="side"), tmp_path / "open.onnx")
    result = import_model(file=tmp_path / "open.onnx")
    assert "input 'image' is of any size, (N, 3, side, side); set one with --size" in result.stderr
    assert import_model("--size", 24, file=tmp_path / "open.onnx").code == 0
    assert ModelStore(tmp_path / "store").manifest("other").network.input_size == 24


def test_a_network_of_one_channel_classifies_photos(
    import_model: Run, run: Run, photo: Path, tmp_path: Path
) -> None:
    onnx.save(small(channels=1, size=28), tmp_path / "grey.onnx")
    assert import_model("--preprocessing", "unit", file=tmp_path / "grey.onnx").code == 0
    answer = json.loads(run("classify", photo, "--store", tmp_path / "store", "--json").stdout)
    assert len(answer["classes"]) == 3


def test_weights_are_stored_in_half_precision_on_request(import_model: Run, tmp_path: Path) -> None:
    import_model("--half")
    arrays = ModelStore(tmp_path / "store").load("other").weights._arrays
    assert arrays is not None
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}


def test_labels_keep_the_order_of_their_lines(import_model: Run, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("n2 red fox\nn1 cat\nn3 dog\n")
    folder = json.loads(import_model("--labels", tmp_path / "labels", "--json").stdout)["folder"]
    labels = json.loads((Path(folder) / "model.json").read_text())["labels"]
    assert [(label["id"], label["name"]) for label in labels] == [
        ("n2", "red fox"),
        ("n1", "cat"),
        ("n3", "dog"),
    ]


def test_labels_with_shuffled_indexes_are_rejected_and_nothing_is_written(
    import_model: Run, tmp_path: Path
) -> None:
    (tmp_path / "labels").write_text("0 tench\n2 shark\n1 goldfish\n")
    result = import_model("--labels", tmp_path / "labels")
    assert (result.code, result.stdout) == (2, "")
    assert "id '1' follows '2', but lines must be in score order" in result.stderr
    assert not (tmp_path / "store").exists()


def test_other_numeric_ids_out_of_order_cause_a_warning(import_model: Run, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("7 a\n3 b\n5 c\n")
    warnings = json.loads(import_model("--labels", tmp_path / "labels", "--json").stdout)["warnings"]
    assert [each["code"] for each in warnings] == ["assumed-preprocessing", "labels-out-of-order"]


def test_an_imported_model_can_classify(import_model: Run, run: Run, photo: Path, tmp_path: Path) -> None:
    import_model()
    result = run("classify", photo, "--store", tmp_path / "store", "--json")
    answer = json.loads(result.stdout)
    assert len(answer["classes"]) == 3
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["field"]) == ("assumed-preprocessing", "model")


def test_the_assumed_preprocessing_can_be_confirmed_in_the_manifest(
    import_model: Run, run: Run, photo: Path, tmp_path: Path
) -> None:
    (warning,) = json.loads(import_model("--json").stdout)["warnings"]
    assert warning["code"] == "assumed-preprocessing"
    analyzed = run(
        *("analyze", "project", photo, "--layer", "conv1", "--json"),
        *("--store", tmp_path / "store", "--out", tmp_path / "o"),
    )
    assert [each["code"] for each in json.loads(analyzed.stdout)["warnings"]] == ["assumed-preprocessing"]
    manifest = tmp_path / "store" / "other" / "1" / "model.json"
    values = json.loads(manifest.read_text())
    assert values["preprocessing_assumed"] is True
    manifest.write_text(json.dumps(values | {"preprocessing_assumed": False}))
    answer = json.loads(run("classify", photo, "--store", tmp_path / "store", "--json").stdout)
    assert answer["warnings"] == []


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.onnx", None, "' cannot be read: no such file"),
        (
            "text.onnx",
            b"weights",
            "' cannot be imported: not an ONNX file, or truncated; export or copy it again",
        ),
        ("empty.onnx", b"", "' cannot be imported: not an ONNX file: it has no graph; export or"),
        ("a.pth", b"PK", "export the model in torch by three lines: model.eval(); image = torch.zeros("),
    ],
)
def test_an_invalid_file_is_reported_in_one_line_and_nothing_is_written(
    import_model: Run, tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    result = import_model(file=tmp_path / name)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
    assert not (tmp_path / "store").exists()


def test_an_existing_model_is_not_overwritten(import_model: Run, tmp_path: Path) -> None:
    import_model()
    before = (tmp_path / "store" / "other" / "1" / "model.json").read_bytes()
    result = import_model()
    assert result.code == 2
    assert "model 'other' version 1 already exists in " in result.stderr
    assert (tmp_path / "store" / "other" / "1" / "model.json").read_bytes() == before


def test_another_version_can_be_added(import_model: Run, tmp_path: Path) -> None:
    import_model()
    assert json.loads(import_model("--version", 2, "--json").stdout)["version"] == 2
    store = ModelStore(tmp_path / "store")
    assert [store.verify("other", version).version for version in (1, 2)] == [1, 2]
    assert store.load("other").version == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("n1 cat\n", "labels for a network with 3 classes"),
        ("n1 cat\nn1 dog\nn2 fox\n", "class 'n1' appears in lines 1 and 2"),
    ],
)
def test_labels_must_match_the_number_of_classes_and_be_unique(
    import_model: Run, tmp_path: Path, lines: str, message: str
) -> None:
    (tmp_path / "labels").write_text(lines)
    result = import_model("--labels", tmp_path / "labels")
    assert result.code == 2
    assert message in result.stderr
    assert not (tmp_path / "store").exists()


def test_an_invalid_model_name_is_rejected(import_model: Run) -> None:
    result = import_model("--name", "../up")
    assert (result.code, result.stdout) == (2, "")
    assert "name '../up' must match" in result.stderr


def test_weights_too_large_for_half_precision_are_rejected(import_model: Run, tmp_path: Path) -> None:
    onnx.save(small(bias=1e5), tmp_path / "large.onnx")
    result = import_model("--half", file=tmp_path / "large.onnx")
    assert result.code == 2
    assert "values that are not finite in float16" in result.stderr
    assert not (tmp_path / "store").exists()
    assert import_model(file=tmp_path / "large.onnx").code == 0


@pytest.fixture
def opaque_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes one of the opaque test networks as a file."""

    def write(name: str) -> Path:
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(opaque_graph(name))
        return path

    return write


def test_a_graph_is_imported_as_a_whole(
    import_model: Run, run: Run, photo: Path, opaque_file: Callable[[str], Path], tmp_path: Path
) -> None:
    result = import_model("--opaque", "--preprocessing", "torchvision", file=opaque_file("vit"))
    assert (result.code, result.stderr) == (0, "")
    model = ModelStore(tmp_path / "store").load("other")
    assert model.is_opaque
    card = (tmp_path / "store" / "other" / "1" / "README.md").read_text()
    assert "Batches of any size were checked: " in card
    printed = run("classify", photo, "--model", "other", "--store", tmp_path / "store", "--json").stdout
    assert len(json.loads(printed)["classes"]) == 5


def test_the_importer_proposes_to_import_a_graph_as_a_whole(
    import_model: Run, opaque_file: Callable[[str], Path], tmp_path: Path
) -> None:
    result = import_model(file=opaque_file("convnext"))
    assert result.code == 2
    assert "LayerNormalization '/block1/norm/LayerNormalization': " in result.stderr
    assert "; or import it as a whole with --opaque" in result.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "code"), [("int8-dynamic", "single-images"), ("int8", ""), ("plain", "not-opaque")]
)
def test_warnings_say_what_an_opaque_import_costs(
    name: str, code: str, import_model: Run, opaque_file: Callable[[str], Path], graph: Path
) -> None:
    file = graph if name == "plain" else opaque_file(name)
    result = import_model("--opaque", "--preprocessing", "torchvision", "--json", file=file)
    assert [warning["code"] for warning in json.loads(result.stdout)["warnings"]] == ([code] if code else [])


def test_weights_of_an_opaque_graph_are_not_converted(
    import_model: Run, opaque_file: Callable[[str], Path], tmp_path: Path
) -> None:
    result = import_model("--opaque", "--half", file=opaque_file("vit"))
    assert result.code == 2
    assert "--half is set with --opaque; the graph keeps its own weights" in result.stderr
    assert not (tmp_path / "store").exists()
