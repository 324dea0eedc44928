"""The web studio: pages that the server sends as they are; no build step."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
