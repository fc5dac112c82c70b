"""The small project of the training tests."""

from training.conftest import _one_thread, empty, make_settings, make_table, project

__all__ = ["_one_thread", "empty", "make_settings", "make_table", "project"]
