"""Ratings of outputs by people and programs, the preferences they add up to, and the version of a model in use."""
