"""The assistant: prompts, answers with sources, tools, code and text tasks, with any model that can chat."""
