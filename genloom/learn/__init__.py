"""The learning loop: ratings become a challenger, a gate decides, a receipt tells it, and all can be undone."""
