"""What a network will cost: latency tables, their calibration and validation."""
