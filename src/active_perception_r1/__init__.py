"""Active-Perception-R1: measure how much a model misses by not looking closer, and train it away."""
