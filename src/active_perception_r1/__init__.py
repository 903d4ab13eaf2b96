"""Measure how much a vision-language model misses by not looking closer; train it away."""
