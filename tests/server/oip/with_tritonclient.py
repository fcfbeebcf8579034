"""Call a service with Triton's own client. Run in an environment without zfscope.

    python with_tritonclient.py ADDRESS PHOTO OUT

Writes the results to OUT: `responses.json`, `arrays.npz` and the pictures.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

ADDRESS, PHOTO, OUT = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
PIXELS = np.random.default_rng(3).normal(0, 1, (3, 3, 32, 32)).astype(np.float32)


def input_of(name: str, datatype: str, array: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def infer_error(client: triton.InferenceServerClient, *args: Any, **options: Any) -> list[str]:
    """Return status and message of a failed inference; empty if it succeeds."""
    try:
        client.infer(*args, **options)
    except InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return []


def read_metadata(client: triton.InferenceServerClient) -> dict[str, Any]:
    """Call every method of a service except inference."""
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models": {name: client.is_model_ready(name) for name in ("tiny", "tiny/project", "huge")},
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata("tiny", "2", as_json=True),
        "config": client.get_model_config("tiny", "2", as_json=True),
        "analyzer": client.get_model_metadata("tiny/project", as_json=True),
    }


def classify(client: triton.InferenceServerClient) -> dict[str, np.ndarray]:
    """Run the model on tensors, and on a photo."""
    tensors = [input_of("input", "FP32", PIXELS)]
    outputs = [triton.InferRequestedOutput(name) for name in ("logits", "probabilities", "relu5")]
    answer = client.infer("tiny", tensors, model_version="2", outputs=outputs, request_id="7", timeout=60)
    photo = [input_of("images", "BYTES", np.array([PHOTO.read_bytes()], dtype=np.object_))]
    likeliest = [triton.InferRequestedOutput("probabilities", class_count=2)]
    return {
        "pixels": PIXELS,
        **{name: answer.as_numpy(name) for name in ("logits", "probabilities", "relu5")},
        "photo_logits": client.infer("tiny", photo).as_numpy("logits"),
        "classes": client.infer("tiny", photo, outputs=likeliest).as_numpy("probabilities").astype("S"),
    }


def project(client: triton.InferenceServerClient) -> tuple[dict[str, Any], list[bytes]]:
    """Run an analyzer on a photo."""
    photo = [input_of("images", "BYTES", np.array([PHOTO.read_bytes()], dtype=np.object_))]
    parameters = {"layer": "conv5", "units": '[{"map": 3}]', "control": True}
    answer = client.infer("tiny/project", photo, parameters=parameters)
    return json.loads(answer.as_numpy("analysis")[0]), list(answer.as_numpy("pictures"))


def main() -> None:
    with triton.InferenceServerClient(ADDRESS) as client:
        responses = read_metadata(client)
        arrays = classify(client)
        responses["analysis"], pictures = project(client)
        responses["statistics"] = client.get_inference_statistics("tiny", "2", as_json=True)
        responses["index"] = client.get_model_repository_index(as_json=True)
        wrong_shape = PIXELS[:, :, :31]
        responses["error"] = infer_error(client, "tiny", [input_of("input", "FP32", wrong_shape)])
        responses["no model"] = infer_error(client, "huge", [input_of("input", "FP32", PIXELS)])
    (OUT / "responses.json").write_text(json.dumps(responses))
    np.savez(OUT / "arrays.npz", **arrays)
    for index, png in enumerate(pictures):
        (OUT / f"picture-{index}.png").write_bytes(png)


if __name__ == "__main__":
    main()
