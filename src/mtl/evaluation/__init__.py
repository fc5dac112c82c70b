"""Predictions on the test split, metrics with bootstrap intervals, and paired comparisons of models."""
