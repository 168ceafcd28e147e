# iFlashformer: iTransformer, but exact attention in a fused kernel (FlashAttention).
# Like the official code it always normalises the windows.
_base_ = "./itransformer.py"

model = dict(attention=dict(_delete_=True, type="FlashAttention"))
