"""Jobs: everything that takes long runs as one, in a durable queue, and tells its progress as events."""
