"""A project of Flower: the server's side, and that of the silos."""
