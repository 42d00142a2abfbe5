"""From what a phone printed to values: pure functions, in which all that is missing, denied or odd becomes ``None``."""
