"""Translation, summaries and classification: documents in pieces, with any model that can chat."""
