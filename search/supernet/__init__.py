"""One-shot supernets: one set of weights for every network of a space."""
