"""A gallery: the maps of a model and the user's photos as HTML pages that need no service and no network."""

from zfscope.gallery.build import build_gallery
from zfscope.gallery.facts import Gallery
from zfscope.gallery.plan import Plan, make_plan

__all__ = ["Gallery", "Plan", "build_gallery", "make_plan"]
