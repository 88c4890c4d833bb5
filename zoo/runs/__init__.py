"""Running a recipe: the run directory, its record, sweeps."""
