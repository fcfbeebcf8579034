"""Runs the notebooks of the documentation, and stores their outputs (`make notebooks`).

Stored pictures are small JPEGs, so that the repository and the site stay small.
"""

import base64
import io
import os
import sys
import sysconfig
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from tests.support.pages import NOTEBOOKS, name_of

# Environment of the kernel: commands of zfscope are found, and print plain text of this width.
SETTINGS = {
    "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
    "TTY_COMPATIBLE": "0",
    "COLUMNS": "90",
}
_CELL_TIMEOUT_S = 300
# Width of stored pictures: that of the site's text on a large screen.
_WIDTH_PX = 800
_QUALITY = 80
# Mean difference of pixels, 0 to 255, that rounding and JPEG may cause.
_TOLERANCE = 2.0


def run_notebook(path: Path, folder: Path) -> NotebookNode:
    """Run a notebook from top to bottom in a folder; return it with outputs as they are stored.

    Raises CellExecutionError if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=_CELL_TIMEOUT_S,
        coalesce_streams=True,
        record_timing=False,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [_reduce(output) for output in cell.outputs]
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    return notebook


def _reduce(output: NotebookNode) -> NotebookNode:
    """Keep the richest form of an output only: a picture, as a JPEG, a table, or the text."""
    data = output.get("data", {})
    if "image/png" in data:
        output.data = {"image/jpeg": _jpeg(base64.b64decode(data["image/png"]))}
    elif "text/html" in data:
        output.data = {"text/html": data["text/html"]}
    return output


def _jpeg(png: bytes) -> str:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((_WIDTH_PX, picture.height), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(encoded.getvalue()).decode()


def differences(stored: NotebookNode, fresh: NotebookNode) -> list[str]:
    """Describe the outputs of a notebook's runs that differ: in text at all, in pictures beyond rounding."""
    pairs = zip(stored.cells, fresh.cells, strict=True)
    return [
        f"{one.source}\nstored:\n{_shown(one)}\nnow:\n{_shown(other)}"
        for one, other in pairs
        if one.cell_type == "code" and not _same_outputs(one.outputs, other.outputs)
    ]


def _same_outputs(stored: list[NotebookNode], fresh: list[NotebookNode]) -> bool:
    return len(stored) == len(fresh) and all(map(_same, stored, fresh))


def _same(stored: NotebookNode, fresh: NotebookNode) -> bool:
    one, other = stored.get("data", {}).get("image/jpeg"), fresh.get("data", {}).get("image/jpeg")
    if one is None or other is None:
        return {**stored, "execution_count": None} == {**fresh, "execution_count": None}
    first, second = _pixels(one), _pixels(other)
    return first.shape == second.shape and float(np.abs(first - second).mean()) < _TOLERANCE


def _pixels(jpeg: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(jpeg))), np.float32)


def _shown(cell: NotebookNode) -> str:
    parts = [output.get("text") or str(output.get("data", {}))[:2000] for output in cell.outputs]
    return "\n".join(parts)


def main() -> None:
    """Run all notebooks and write their outputs."""
    os.environ.update(SETTINGS)
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run_notebook(path, Path(folder)), path)
        sys.stdout.write(f"{name_of(path)}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
