"""The server: one process with the web studio and an HTTP API that clients of OpenAI, Anthropic and Ollama can use."""
