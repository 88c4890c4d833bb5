"""SavedModels that TF Serving takes: written, checked, served, asked."""

from zoo.serving.check import check as check
from zoo.serving.saved_model import export as export
