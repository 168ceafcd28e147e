# 36 epochs of AdamW at 1e-4 for 16 images per step (8 GPUs x 2, mmdetection 2's default) in fp16, a tenth from epoch 27
# on and a hundredth from epoch 33 on; warm-up over 500 steps. Norms, biases, positions and level_embed do not decay.
train_cfg = dict(type="ResumableEpochLoop", max_epochs=36, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="AmpOptimWrapper",  # `--amp` trains in bf16 instead, on the CPU too
    loss_scale=dict(init_scale=512),
    paramwise_cfg=dict(
        custom_keys={name: dict(decay_mult=0.0) for name in ("level_embed", "pos_embed", "norm", "bias")}
    ),
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
)
param_scheduler = [
    # mmengine's warm-up is over one step before `end`
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", by_epoch=True, milestones=[27, 33], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2
