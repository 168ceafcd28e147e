"""Data to tokens, one tokenizer per kind of data."""
