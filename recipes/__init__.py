"""Recipes: one file, one published result; the file's name is the recipe's name. `zoo list` shows
them all."""
