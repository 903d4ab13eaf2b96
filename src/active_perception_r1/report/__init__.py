"""What a study comes to, for people to look at, and where it comes from."""

from importlib.resources import files

ASSETS = files(__name__) / "assets"
"""What pages and galleries have in common."""
