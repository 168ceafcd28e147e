"""Losses that neither torch nor mmpretrain has."""
