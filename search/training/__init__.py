"""Training of real weights."""
