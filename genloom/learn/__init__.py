"""The learning loop: ratings train a challenger, the gate decides, a receipt documents it, and all can be undone."""
