"""Data sets of the modalities, and the steps of their pipelines."""
