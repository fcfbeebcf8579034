"""Route of indexed photos: reads the file of a photo from an index into the page's memory."""

from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zfscope.answers import IndexedPhoto
from zfscope.cancellation import Cancellation
from zfscope.errors import Forbidden
from zfscope.page.arguments import read_call
from zfscope.page.calls import run_until_gone
from zfscope.page.methods import method_of
from zfscope.page.openapi import call_errors, request_body
from zfscope.page.photos import check_photo
from zfscope.page.requests import request_model
from zfscope.page.routes.photos import PhotoInfo, photo_info
from zfscope.page.state import PageState

_PATH = "photos/indexed"


class IndexedPhotoInfo(PhotoInfo):
    """A photo that was read from an index."""

    path: str = Field(description="Path of the photo as recorded in the index.")
    label: str = Field(description="Class of the photo in the indexed data; empty if it has none.")


def add_indexed_photo_route(app: FastAPI, state: PageState) -> None:
    """Add the route of indexed photos."""
    method = method_of(_PATH, "indexed_photo")
    model = request_model(method)

    @app.post(
        f"/v1/{_PATH}",
        response_model=IndexedPhotoInfo,
        summary="Read a photo from an index into memory, for analyses of it.",
        tags=["photos"],
        responses=call_errors(408, 413),
        openapi_extra={"requestBody": request_body(model)},
    )
    async def read_indexed_photo(request: Request) -> Response:
        members = await state.upload(request).members()
        if not state.settings.indexed_photos:
            raise Forbidden(
                "this page does not return the files of indexed photos; its operator can turn the setting "
                "indexed_photos on"
            )
        call = read_call(state, method, model, members, "")

        def read(cancel: Cancellation) -> IndexedPhoto:
            photo: IndexedPhoto = call.run(cancel=cancel)
            return photo

        found = await run_until_gone(request, state.quick, read)
        photo = await state.decoding.run(lambda: check_photo(found.data))
        state.photos.add(photo)
        return JSONResponse({**photo_info(photo), "path": found.path, "label": found.label})
