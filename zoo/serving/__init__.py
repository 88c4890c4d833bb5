"""SavedModels that TF Serving takes."""

from zoo.serving.export import export as export
