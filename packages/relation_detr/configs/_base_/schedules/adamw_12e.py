# 12 epochs of AdamW at 1e-4 for 10 images per step (2 GPUs x 5), a tenth from epoch 10 on; warm-up over 1,000 steps, at
# most the first epoch.
train_cfg = dict(type="ResumableEpochLoop", max_epochs=12, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="RelationDETRParamGroups",  # the official groups: backbone at 1e-5, norms and biases without decay, ...
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type="FirstEpochLinearLR", start_factor=0.001, by_epoch=True, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, milestones=[10], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=10)  # 2 GPUs x 5
