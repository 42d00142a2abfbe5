"""Networks that were chosen, trained to be used."""
