"""Generation of text: prompts as tokens, and chat replies."""
