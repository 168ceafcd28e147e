"""Data sets: a registry of public files, time-series windows, generated data, and checks of annotations and pictures.

Importing this module costs nothing; ``registry`` needs only the standard library and yaml, the rest torch, pandas or
mmengine.
"""
