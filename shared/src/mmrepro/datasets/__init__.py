"""Data sets: a registry of public files, time-series windows, generated series.

Importing this module costs nothing; ``registry`` needs only the standard library and yaml, the rest torch or pandas.
"""
