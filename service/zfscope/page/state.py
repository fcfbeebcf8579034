"""What the routes share: the client, the settings, the memory and the pools of threads."""

from dataclasses import dataclass

from starlette.requests import Request

from zfscope.client.methods import ClientMethods
from zfscope.page.body import Upload, UploadBudget
from zfscope.page.calls import Lane
from zfscope.page.memory import BoundedMemory
from zfscope.page.photos import PhotoMemory
from zfscope.page.results import File
from zfscope.page.sessions import Sessions
from zfscope.page.settings import PageSettings

# Threads of short calls, such as descriptions of models, and of the checks of uploaded photos, of which each
# may take 500 MB; and the length of their queues.
_QUICK_THREADS, _PHOTO_THREADS, _SHORT_QUEUE = 4, 1, 128


@dataclass(frozen=True)
class PageState:
    """State of a page. analyses, quick, decoding: pools of analyses, short calls and checks of photos."""

    client: ClientMethods
    settings: PageSettings
    sessions: Sessions
    budget: UploadBudget
    photos: PhotoMemory
    files: BoundedMemory[File]
    analyses: Lane
    quick: Lane
    decoding: Lane

    def upload(self, request: Request) -> Upload:
        """Return the reader of a request's body."""
        return Upload(request, self.settings, request.scope["state"]["reservation"])

    def evict(self) -> None:
        """Remove the photos and results that have expired."""
        self.photos.evict()
        self.files.evict()

    def close(self) -> None:
        """Cancel all calls and reject new ones."""
        for lane in (self.analyses, self.quick, self.decoding):
            lane.close()


def create_state(client: ClientMethods, settings: PageSettings, sessions: Sessions) -> PageState:
    """Create the state of a page."""
    return PageState(
        client,
        settings,
        sessions,
        UploadBudget(settings.upload_bytes),
        PhotoMemory(settings.photo_limits),
        BoundedMemory(settings.result_limits),
        Lane("analyses", settings.workers, settings.queue),
        Lane("requests", _QUICK_THREADS, _SHORT_QUEUE),
        Lane("uploads", _PHOTO_THREADS, _SHORT_QUEUE),
    )
