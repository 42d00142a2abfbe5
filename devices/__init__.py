"""What a measurement is: devices, runtimes and the measuring protocol."""
