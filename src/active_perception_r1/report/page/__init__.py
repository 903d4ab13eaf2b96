"""The page of a study: what was found, and where to look closer."""
