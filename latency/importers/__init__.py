"""Tables that others measured: their YAML files read without trust, and written."""
