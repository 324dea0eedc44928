"""Copies of training data in music."""
