"""Generation of images: edits of a source image, inpainting, and contact sheets."""
