# 160,000 steps of AdamW for 16 images per step (8 GPUs x 2) in fp16; the rate falls linearly to 0, times a warm-up over
# 1,500 steps. Blocks near the image learn more slowly, 0.95 times per block.
train_cfg = dict(type="ResumableIterLoop", max_iters=160_000, val_interval=16_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="AmpOptimWrapper",  # `--amp` trains in bf16 instead, on the CPU too
    loss_scale=dict(init_scale=512),
    constructor="ViTLayerDecayConstructor",
    paramwise_cfg=dict(num_layers=12, layer_decay_rate=0.95),
    optimizer=dict(type="AdamW", lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
)
param_scheduler = [
    # mmengine's schedulers are over one step before `end`
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1501),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=0, end=160_001),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2
