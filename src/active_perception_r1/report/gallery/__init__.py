"""The trace gallery: what every model did on every question, on one page without a network."""

from active_perception_r1.report.gallery.page import write_gallery

__all__ = ["write_gallery"]
