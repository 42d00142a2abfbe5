"""Data sets as tensors in four disjoint splits."""
