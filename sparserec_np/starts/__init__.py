"""What training starts from."""
