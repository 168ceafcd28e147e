# Meta-Transformer (arXiv 2307.10802), inertial sensors, base encoder frozen, UCI HAR: six activities from 128 samples
# of a phone at the waist. Not a row of the paper, whose number is on Ego4D without classes, windows or a split; its
# repository has no code for this modality: tokenizer, class token and head are the minimal design.
# Cost: 30 epochs of 7,352 windows. Needs the encoder's weights. What is tested is the last epoch.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_1xb64-30e_imu-uci-har.py
_base_ = [
    "../_base_/models/meta_imu.py",
    "../_base_/datasets/uci_har.py",
    "../_base_/default_runtime.py",
]

train_cfg = dict(type="ResumableEpochLoop", max_epochs=30, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=30, T_max=30, convert_to_iter_based=True)]
auto_scale_lr = dict(enable=False, base_batch_size=64)
