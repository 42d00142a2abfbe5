"""Programs that run a model on a phone: where they come from, how they are called and what they print."""
