"""Generated data sets: the same on every machine up to rounding, in the file formats that the real loaders read."""
