# ImageNet-1K. Below the data root: imagenet/{train,val}/<class>/*.JPEG.
fill = [103.53, 116.28, 123.675]  # the mean, in the order that pictures are read in
pictures = dict(type="ImageNet", data_root="{{$MMREPRO_DATA_ROOT:data}}/imagenet")
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        pictures,
        split="train",
        pipeline=[
            dict(type="LoadImageChecked"),
            dict(type="RandomResizedCrop", scale=224, backend="pillow", interpolation="bicubic"),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            dict(
                type="RandAugment",
                policies="timm_increasing",
                num_policies=2,
                total_level=10,
                magnitude_level=9,
                magnitude_std=0.5,
                hparams=dict(pad_val=[round(value) for value in fill], interpolation="bicubic"),
            ),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        pictures,
        split="val",
        pipeline=[
            dict(type="LoadImageChecked"),
            dict(type="ResizeEdge", scale=256, edge="short", backend="pillow", interpolation="bicubic"),
            dict(type="CenterCrop", crop_size=224),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=(1, 5))
test_evaluator = [val_evaluator, dict(type="MajorityBaseline")]
del fill, pictures
