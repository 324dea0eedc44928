"""Code that passes: candidates of a model, judged in the sandbox and ranked, and gaps in files that are filled."""
