"""Measurements of models on held-out data, with intervals, comparisons and charts."""
