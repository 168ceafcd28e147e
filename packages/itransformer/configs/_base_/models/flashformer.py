# Flashformer: exact attention in a fused kernel in the encoder.
_base_ = "./transformer.py"

model = dict(attention=dict(_delete_=True, type="FlashAttention"))
