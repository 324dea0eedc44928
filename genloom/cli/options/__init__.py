"""Types and groups of command-line options that several verbs share."""
