"""Stored models: their cards, where they are found, loading, storing, verifying."""
