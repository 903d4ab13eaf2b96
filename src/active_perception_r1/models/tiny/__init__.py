"""The tiny VLM that ships: tokenizer, architecture, training data, training, quick evaluation."""
