# ImageNet's training pictures; the low-resolution patches are made while training, in floating point, not rounded.
train_dataloader = dict(
    batch_size=4,  # on each of 8 GPUs
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="SREnlargedSampler"),
    dataset=dict(
        type="ImageNetSRDataset",
        data_root="ImageNet",
        gt_folder="train",
        scale=4,
        gt_patch_size=256,  # 64 x 64 in the low resolution, at every scale
    ),
)
