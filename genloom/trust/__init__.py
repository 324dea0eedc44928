"""What can be known of an output afterwards: what it copied, what it lies nearest to, what it looks like."""
