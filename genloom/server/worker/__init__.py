"""A process of its own for what takes a moment: previews of outputs, forecasts, origins; the server never computes."""
