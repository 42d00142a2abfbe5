"""Accuracy estimators."""
