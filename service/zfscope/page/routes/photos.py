"""Routes of photos: upload, samples, the network's view, and the pictures and tensors of results."""

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zfscope.errors import InputError, NotFound
from zfscope.page.openapi import call_errors, errors, file_response, photo_body
from zfscope.page.photos import StoredPhoto, check_photo
from zfscope.page.samples import find_samples
from zfscope.page.state import PageState
from zfscope.page.view import network_view

# Content never changes under its hash.
_IMMUTABLE = {"Cache-Control": "private, max-age=3600, immutable"}


class PhotoInfo(BaseModel):
    """An uploaded photo."""

    photo: str = Field(description="Hash (SHA-256) of the file's bytes, by which requests name the photo.")
    width: int = Field(description="Width of the upright photo in pixels.")
    height: int = Field(description="Height of the upright photo in pixels.")
    bytes: int = Field(description="Size of the file in bytes.")


class Sample(BaseModel):
    """A sample photo. url: relative to the address of the page."""

    name: str
    url: str


class Samples(BaseModel):
    """The sample photos."""

    samples: list[Sample]


def add_photo_routes(app: FastAPI, state: PageState) -> None:
    """Add the routes of photos and files."""

    @app.post(
        "/v1/photos",
        response_model=PhotoInfo,
        summary="Upload a photo; it is kept in memory for some time.",
        tags=["photos"],
        responses=errors(400, 408, 413, 429),
        openapi_extra={"requestBody": photo_body()},
    )
    async def upload_photo(request: Request) -> Response:
        data = await _photo_of(state, request)
        photo = await state.decoding.run(lambda: check_photo(data))
        state.photos.add(photo)
        return JSONResponse(photo_info(photo))

    @app.get(
        "/v1/photos/{photo}",
        summary="Return the file of an uploaded photo.",
        tags=["photos"],
        responses=file_response("image/*", 404),
        response_class=Response,
    )
    async def get_photo(photo: str) -> Response:
        stored = state.photos.get(photo, field="photo")
        return Response(stored.data, media_type=stored.media_type, headers=_IMMUTABLE)

    view = {**call_errors(), **file_response("image/png")}

    @app.get(
        "/v1/view",
        summary="Return what the network sees of a photo.",
        tags=["photos"],
        responses=view,
        response_class=Response,
    )
    async def get_view(photo: str, model: str = "", version: int | None = None) -> Response:
        stored = state.photos.get(photo, field="photo")

        def work() -> Response:
            info = state.client.model(model or state.settings.model, version)
            png, box = network_view(stored.data, info.preprocessing)
            edges = ", ".join(f"{edge:.6g}" for edge in (box.x0, box.y0, box.x1, box.y1))
            return Response(png, media_type="image/png", headers={"X-Box": edges})

        return await state.decoding.run(work)

    @app.get("/v1/samples", response_model=Samples, summary="List the sample photos.", tags=["photos"])
    async def list_samples() -> Samples:
        samples = find_samples(state.settings.samples)
        return Samples(samples=[Sample(name=name, url=f"v1/samples/{name}") for name in samples])

    @app.get(
        "/v1/samples/{name}",
        summary="Return the file of a sample photo.",
        tags=["photos"],
        responses=file_response("image/*", 404),
        response_class=Response,
    )
    async def get_sample(name: str) -> Response:
        samples = find_samples(state.settings.samples)
        if name not in samples:
            raise NotFound(f"sample '{name:.80}' not found; available: {', '.join(samples) or 'none'}")
        photo = await state.decoding.run(lambda: check_photo(samples[name].read_bytes()))
        return Response(photo.data, media_type=photo.media_type, headers=_IMMUTABLE)

    _add_file_route(app, state, "pictures", "image/png")
    _add_file_route(app, state, "tensors", "application/octet-stream")


def _add_file_route(app: FastAPI, state: PageState, folder: str, media_type: str) -> None:
    @app.get(
        f"/v1/{folder}/{{name}}",
        summary=f"Return one of the {folder} of a result.",
        tags=["results"],
        responses=file_response(media_type, 404),
        response_class=Response,
        operation_id=f"get_{folder}",
    )
    async def get_file(name: str) -> Response:
        file = state.files.get(f"{folder}/{name}")
        if file is None:
            limit = f"links are valid for {state.settings.result_s / 60:g} minutes"
            raise NotFound(f"'{folder}/{name:.80}' is not in memory; {limit}: run the analysis again")
        return Response(file.data, media_type=file.media_type, headers=_IMMUTABLE)


async def _photo_of(state: PageState, request: Request) -> bytes:
    """Return the photo of a request: the part `photo`, or the whole body."""
    upload = state.upload(request)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await upload.read()
    members = await upload.members()
    if set(members) != {"photo"}:
        raise InputError(f"parts are {', '.join(members) or 'none'}; allowed: photo", field="photo")
    data: bytes = members["photo"]
    return data


def photo_info(photo: StoredPhoto) -> dict[str, str | int]:
    """Return the description of a photo in memory."""
    return PhotoInfo(
        photo=photo.hash, width=photo.width, height=photo.height, bytes=len(photo.data)
    ).model_dump()
