"""The model as C99 source."""
