"""Persistent storage: data sets, models, runs and outputs as folders with manifests."""
