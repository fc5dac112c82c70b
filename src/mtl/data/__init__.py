"""Datasets from source to canonical table: fetch, read, check, split, store. Imports neither torch nor transformers."""
