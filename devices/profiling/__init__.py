"""Which operator takes how long: profiles of one model, made apart from any timing."""
