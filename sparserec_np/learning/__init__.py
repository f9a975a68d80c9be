"""What a step of training is made of: pairs, losses, optimizers."""
