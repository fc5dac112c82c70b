"""The search for better settings: trials of one study on disk, judged on validation rows. See ``docs/how-to/search-settings.md``."""
