"""From a source to examples: fetch, read, check, split, store. Imports neither torch nor transformers."""
