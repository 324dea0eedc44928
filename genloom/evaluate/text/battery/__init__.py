"""Small offline benchmark for language models: cloze, multiple choice, arithmetic, instruction following."""
