"""Generated data sets: the same on every machine, in the file formats that the real loaders read."""
