"""Analyses over HTTP give the answers of the client."""

import base64
import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.page.conftest import photo_file
from tests.support.page_server import PageClient
from zfscope.local import LocalClient


def uploaded(page: PageClient, photo: bytes) -> str:
    return str(page.upload("v1/photos", ("photo", photo)).json["photo"])


def test_an_uploaded_photo_is_described_and_returned(page: PageClient, photo: bytes) -> None:
    answer = page.upload("v1/photos", ("photo", photo))
    digest = hashlib.sha256(photo).hexdigest()
    assert answer.json == {"photo": digest, "width": 48, "height": 40, "bytes": len(photo)}
    assert page.request("POST", "v1/photos", photo).json == answer.json
    returned = page.get(f"v1/photos/{digest}")
    assert (returned.body, returned.headers["content-type"]) == (photo, "image/png")


def test_a_classification_has_the_names_of_the_command_line(
    page: PageClient, photo: bytes, local: LocalClient
) -> None:
    expected = local.classify(photo, top=2)
    answer = page.post("v1/classify", {"photo": uploaded(page, photo), "top": 2})
    assert answer.json == {
        "model": "tiny",
        "version": 1,
        "precision": "float32",
        "classes": [
            {
                "index": each.index,
                "id": each.label_id,
                "label": each.label,
                "probability": each.probability,
                "logit": each.logit,
            }
            for each in expected.classes
        ],
        "photo": {"width": 48, "height": 40},
        "warnings": [],
    }


def test_a_photo_is_a_hash_or_base64_or_a_part(page: PageClient, photo: bytes) -> None:
    expected = page.post("v1/classify", {"photo": uploaded(page, photo)}).json
    encoded = {"photo": {"base64": base64.b64encode(photo).decode()}}
    assert page.post("v1/classify", encoded).json == expected
    assert page.upload("v1/classify", ("photo", photo)).json == expected
    first = page.upload("v1/classify", ("photo", photo), ("parameters", json.dumps({"top": 1}))).json
    assert first["classes"] == expected["classes"][:1]


def test_pictures_and_tensors_are_links_to_the_same_files(
    page: PageClient, photo: bytes, local: LocalClient
) -> None:
    expected = local.project(photo, layer="conv2", top=2, tensors=True)
    members = {"photo": uploaded(page, photo), "layer": "conv2", "top": 2, "tensors": True}
    answer = page.post("v1/project", members).json
    for shown, known in zip(answer["projections"], expected.projections, strict=True):
        assert known.picture is not None
        assert shown["receptive_field"] == vars(known.receptive_field)
        pixels = np.asarray(Image.open(io.BytesIO(page.get(shown["picture"]["url"]).body)))
        np.testing.assert_array_equal(pixels, np.asarray(known.picture.image()))
        tensor = np.load(io.BytesIO(page.get(shown["tensor"]["url"]).body))
        np.testing.assert_array_equal(tensor, known.tensor)
        assert (shown["tensor"]["dtype"], shown["tensor"]["shape"]) == ("float32", list(tensor.shape))


@pytest.mark.parametrize("pictures", ["inline", False])
def test_pictures_are_inline_or_left_out(page: PageClient, photo: bytes, pictures: str | bool) -> None:
    members = {"photo": uploaded(page, photo), "layer": "conv2", "top": 1, "pictures": pictures}
    sheet = page.post("v1/project", members).json["sheet"]
    if pictures:
        assert Image.open(io.BytesIO(base64.b64decode(sheet["base64"]))).format == "PNG"
        assert "url" not in sheet
    else:
        assert sheet is None


def test_any_analyzer_runs_by_name(page: PageClient, photo: bytes, local: LocalClient) -> None:
    parameters = {"layer": "conv2", "top": 1}
    expected = local.analyze("project", [photo], parameters)
    answer = page.post("v1/analyze/project", {"photos": [uploaded(page, photo)], "parameters": parameters})
    table = expected.analysis.tables["projections"].records()
    assert (answer.json["model"], answer.json["tables"]["projections"]) == ("tiny", table)


def test_several_photos_are_repeated_parts(page: PageClient, local: LocalClient) -> None:
    photos = [photo_file(seed) for seed in (1, 2)]
    options = {"transformations": ["vertical"], "translations_px": [-4.0, 4.0]}
    expected = local.measure_invariance(photos, **options)  # type: ignore[arg-type]
    parts = [("photos", photo) for photo in photos]
    answer = page.upload("v1/invariance", *parts, ("parameters", json.dumps(options))).json
    shown = [curve["probabilities"] for photo in answer["photos"] for curve in photo["curves"]]
    assert shown == [list(curve.probabilities) for photo in expected.photos for curve in photo.curves]


def test_events_report_progress_and_end_with_the_result(page: PageClient, photo: bytes) -> None:
    members = {"photo": uploaded(page, photo), "window": 16, "stride": 8}
    answer = page.post("v1/occlude", members, Accept="text/event-stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event.partition("\ndata: ") for event in answer.body.decode().strip().split("\n\n")]
    names = [name.removeprefix("event: ") for name, _, _ in events]
    assert set(names[:-1]) <= {"progress"}
    assert names[-1] == "result"
    assert json.loads(events[-1][2]) == page.post("v1/occlude", members).json


def test_polygons_are_lists_of_pairs(page: PageClient, local: LocalClient, photo: bytes) -> None:
    polygons = [[(20.0, 10.0), (40.0, 10.0), (25.0, 40.0)]]
    members = {"photo": uploaded(page, photo), "polygons": polygons, "pictures": False}
    answer = page.post("v1/occlude", members).json
    expected = local.occlude(photo, polygons=polygons, pictures=False)
    shown = [(change["label"], change["clean"], change["occluded"]) for change in answer["changes"]]
    assert shown == [(change.label, change.clean, change.occluded) for change in expected.changes]


def test_models_and_analyzers_are_those_of_the_client(page: PageClient, local: LocalClient) -> None:
    assert [model["name"] for model in page.get("v1/models").json["models"]] == ["tiny"]
    layers = page.get("v1/models/tiny").json["layers"]
    assert [layer["name"] for layer in layers] == [layer.name for layer in local.model().layers]
    named = [each["name"] for each in page.get("v1/analyzers").json["analyzers"]]
    assert named == [each.name for each in local.analyzers()]
    assert page.get("v1/health").json == {"status": "SERVING"}
