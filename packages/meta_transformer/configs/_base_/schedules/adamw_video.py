# 90 epochs of AdamW, 7e-4 for 256 clips a step; 8 GPUs x 6 clips, each twice, count as 48, so 1.3e-4. Warm-up of 5
# epochs, then a cosine.
max_epochs = 90
train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="LearningRateDecayOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=7e-4 * 48 / 256, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.75, norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    # the official floor, 1e-6 where the rate is 7e-4, is scaled by clips and layer as the rate is
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        begin=5,
        end=max_epochs,
        eta_min_ratio=1e-6 / 7e-4,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=96)
