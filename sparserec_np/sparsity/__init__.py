"""The entries that are stored: how many there may be, and which give way to which."""
