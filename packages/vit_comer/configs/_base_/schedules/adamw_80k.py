# 80,000 steps of AdamW at 2e-5 for 16 images per step (8 GPUs x 2) in float32, for Mask2Former: the rate falls linearly
# to 0, times a warm-up over 1,500 steps; blocks near the image learn more slowly, 0.9 times per block, and the queries
# and what reads them as slowly as the patches, as in the official segmentation code.
_base_ = "./adamw_160k.py"

train_cfg = dict(max_iters=80_000)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    constructor="ViTLayerDecayConstructor",
    paramwise_cfg=dict(num_layers=24, layer_decay_rate=0.9, head_low_lr=True),
    optimizer=dict(type="AdamW", lr=2e-5, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=80_001)]
