"""Speech: texts as phonemes, and the libraries that run pretrained models of speech."""
