"""What can be known of an output afterwards; for now, what it copied and what it lies nearest to."""
