"""Recipes: one file, one published result; the file's name is the recipe's name. `zoo list` shows
them all."""

# Tells the registry that this `recipes` is the zoo's and not another package of the same name.
ZOO_RECIPES = True
