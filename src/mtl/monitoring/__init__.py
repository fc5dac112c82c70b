"""What happens to a model in use: whether its texts change, and whether a newer model may replace it."""
