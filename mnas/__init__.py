"""What a network is: architecture, layers, counts, torch modules and model files."""
