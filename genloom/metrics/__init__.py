"""Metrics over arrays of features and numbers; they know neither models nor media."""
