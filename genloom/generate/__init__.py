"""Generation: prompts to outputs, with guidance, editing and interpolation, stored so that they can be replayed."""
