"""The layouts of official checkpoints, one module per kind of file."""
