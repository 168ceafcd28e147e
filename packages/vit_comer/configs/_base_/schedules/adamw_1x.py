# 12 epochs of AdamW at 1e-4 for 16 images per step (8 GPUs x 2) in fp16, a tenth from epoch 8 on and a hundredth from
# epoch 11 on; warm-up over 500 steps. Blocks near the image learn more slowly: 0.7 times per block is the rate of S.
train_cfg = dict(type="ResumableEpochLoop", max_epochs=12, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="AmpOptimWrapper",  # `--amp` trains in bf16 instead, on the CPU too
    loss_scale=dict(init_scale=512),
    constructor="ViTLayerDecayConstructor",
    paramwise_cfg=dict(num_layers=12, layer_decay_rate=0.7),
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [
    # mmengine's warm-up is over one step before `end`
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", by_epoch=True, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2
