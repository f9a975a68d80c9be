"""Numba kernels. Importing one of these modules imports Numba; nothing outside training and evaluation does."""
