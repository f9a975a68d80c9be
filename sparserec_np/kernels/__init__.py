"""Kernels: arrays in, arrays out. ``compiled`` is fast, ``reference`` says the same in plain NumPy."""
