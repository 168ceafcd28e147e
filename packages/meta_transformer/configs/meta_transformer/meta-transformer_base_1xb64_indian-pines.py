# Meta-Transformer (arXiv 2307.10802), hyperspectral, base encoder frozen, Indian Pines, single pixels: OA 67.62,
# AA 78.09 (official README @ b08a2be, 0.17 M parameters trained).
# Cost: not stated; 300 epochs of 695 pixels. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_1xb64_indian-pines.py
_base_ = [
    "../_base_/models/hyperspectral.py",
    "../_base_/datasets/indian_pines.py",
    "../_base_/schedules/adam_step_300e.py",
    "../_base_/default_runtime.py",
]
