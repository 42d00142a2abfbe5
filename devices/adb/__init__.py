"""Phones over the Android Debug Bridge: the link, the phone's state, what is changed on it, and measuring on it."""
