"""Choices of precisions and runtimes."""

import pytest

from zfscope.choices import coarsest, runtime_for


@pytest.mark.parametrize(
    ("precisions", "expected"),
    [
        (["float32"], "float32"),
        (["tf32", "float32"], "tf32"),
        (["float32", "bfloat16", "tf32"], "bfloat16"),
    ],
)
def test_the_coarsest_precision_has_the_fewest_bits(precisions: list[str], expected: str) -> None:
    assert coarsest(*precisions) == expected


@pytest.mark.parametrize(
    ("precision", "runtime"), [(None, "onnx"), ("float32", "onnx"), ("tf32", "onnx"), ("bfloat16", "torch")]
)
def test_only_bfloat16_needs_torch(precision: str | None, runtime: str) -> None:
    assert runtime_for(precision) == runtime
