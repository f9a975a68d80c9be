"""Runs of the command whose files have known sums."""
