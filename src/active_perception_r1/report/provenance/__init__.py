"""Where results come from: manifest, its check, and results pinned to be cited."""
