"""Writing from prompts: lengths in words become what a prompt asks for, and the most tokens that an answer takes."""
