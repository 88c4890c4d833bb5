"""SavedModels that TF Serving takes."""

from zoo.serving.saved_model import export as export
