"""The model: an encoder with a head for each task, its folder on disk, its predictions and its card."""
