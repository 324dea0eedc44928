"""What people and machines think of outputs: ratings, preferences, and which version of a model is in use."""
