"""The trace gallery: what every model did on every question, in a folder without a network."""
