"""The model file, its smaller forms, and the same as C."""
