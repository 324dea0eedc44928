"""Traces: where an output, model or data set comes from, and what was made from it, as a graph."""
