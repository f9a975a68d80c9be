"""Recommender models over one sparse table."""
