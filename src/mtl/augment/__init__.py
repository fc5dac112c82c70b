"""Augmentation of the train split: variants of rows that keep their labels. ``mtl.plugins`` lists the methods."""
