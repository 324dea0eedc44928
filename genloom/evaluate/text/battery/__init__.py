"""A small offline battery: what a language model completes, knows, reckons and follows, each with its interval."""
