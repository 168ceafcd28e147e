# DF2K (DIV2K and Flickr2K) x3: 139,995 squares of 480 pixels, and bicubic ones; `mmrepro data get df2k` says how.
scale = 3
train_dataloader = dict(
    batch_size=4,  # on each of 8 GPUs
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="SREnlargedSampler"),
    dataset=dict(
        type="BasicImageDataset",
        data_root="DF2K",
        data_prefix=dict(img="DF2K_bicx3_sub", gt="DF2K_HR_sub"),
        scale=scale,
        pipeline=[
            dict(type="SRLoadImageFromFile", key="gt"),
            dict(type="SRLoadImageFromFile", key="img"),
            dict(type="SRPairedRandomCrop", gt_patch_size=64 * scale, scale=scale),
            dict(type="SRFlip", direction="horizontal"),
            dict(type="SRFlip", direction="vertical"),
            dict(type="SRRandomTransposeHW"),
            dict(type="SRPackInputs"),
        ],
    ),
)
