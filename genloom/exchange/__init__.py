"""Models from elsewhere and to elsewhere, with a parity check at the end: Hugging Face folders and GGUF files."""
