"""Drawings: a sample as it is, its tokens' norms, the attention to them, and the prediction, side by side."""

from mm_meta_transformer.visualization.drawings import draw_prediction, write_drawings
from mm_meta_transformer.visualization.encodings import draw_encodings

__all__ = ["draw_encodings", "draw_prediction", "write_drawings"]
