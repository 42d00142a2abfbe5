"""Models to be measured: from what a person names to a file that a device runs, and what is known of that file."""
