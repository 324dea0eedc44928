"""Feature extractors for media that are compared in features; a medium names its own."""
