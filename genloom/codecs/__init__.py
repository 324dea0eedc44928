"""Media to tensors and back; one file a codec."""
