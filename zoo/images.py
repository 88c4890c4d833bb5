"""What users call of images by name: which arrays count as images, and which pixels are seen."""

from zoo.observations.image import check_images as check_images
from zoo.observations.masks import VisiblePixels as VisiblePixels
from zoo.observations.masks import center_column as center_column
from zoo.observations.masks import quadrants as quadrants
