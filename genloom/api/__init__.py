"""The Python API: workspaces, models and outputs for notebooks and scripts."""
