"""Search algorithms behind one ask / tell protocol."""
