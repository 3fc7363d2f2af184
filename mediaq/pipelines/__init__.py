"""What is done to images, videos, texts and embeddings, as data, and the runner that does it."""
