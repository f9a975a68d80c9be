"""Factors of the interactions, and tables pruned from them."""
