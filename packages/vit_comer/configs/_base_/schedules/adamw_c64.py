# AdamW at 1e-3 for 4 images per step, for the small networks of 64 channels that start from random weights. Each config
# has its own length, warm-up and decay.
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
)
auto_scale_lr = dict(enable=False, base_batch_size=4)
