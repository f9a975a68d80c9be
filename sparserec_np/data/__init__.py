"""Interactions and tables: read, made, split, written."""
