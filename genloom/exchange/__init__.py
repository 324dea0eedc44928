"""Import and export of models as Hugging Face folders and GGUF files, with a parity check at the end."""
