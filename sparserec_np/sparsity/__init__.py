"""Which entries are stored: how many, which at first, and which in their place."""
