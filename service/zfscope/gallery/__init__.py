"""Galleries: static HTML pages of a model's feature maps on the user's photos, which work offline."""

from zfscope.gallery.build import build_gallery
from zfscope.gallery.facts import Gallery
from zfscope.gallery.plan import GalleryPlan, plan_gallery

__all__ = ["Gallery", "GalleryPlan", "build_gallery", "plan_gallery"]
