"""Recipes: one readable file for each way of training, with the settings in YAML beside it."""
