"""A process of its own for what takes a moment: previews, forecasts, traces, cards; the server never computes."""
