"""What users call of images by name: which arrays count as images, and which pixels are seen."""

from zoo.observations.image import check_images
from zoo.observations.masks import VisiblePixels, center_column, quadrants

__all__ = [
    "VisiblePixels",
    "center_column",
    "check_images",
    "quadrants",
]
