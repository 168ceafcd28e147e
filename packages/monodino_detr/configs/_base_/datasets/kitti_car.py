# KITTI's object data, the split of 3712 and 3769 frames, cars alone: the official augmentation and protocol. Below the
# data root: kitti/ImageSets/{train,val}.txt and kitti/training/{image_2,calib,label_2}.
data_root = "{{$MMREPRO_DATA_ROOT:data}}/kitti/"
classes = ("Pedestrian", "Car", "Cyclist")  # labels 0, 1 and 2
writelist = ("Car",)  # what is learnt and reported
load = dict(type="LoadImageFromFile", color_type="color", imdecode_backend="pillow")
frames = dict(
    type="Kitti3DDataset",
    data_root=data_root,
    data_prefix=dict(img="training/image_2", calib="training/calib", label="training/label_2"),
    writelist=writelist,
    metainfo=dict(classes=classes),
)

train_dataloader = dict(
    batch_size=8,  # on each of 4 GPUs
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        frames,
        ann_file="ImageSets/train.txt",
        pipeline=[
            load,
            dict(type="LoadKittiAnnotations3D"),
            dict(type="KittiPhotometricDistort", wrap_uint8=True),
            dict(type="KittiFlipCropAffine", size=(1280, 384), flip_prob=0.5, crop_prob=0.5, scale=0.05, shift=0.05),
            dict(type="PackMono3DInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        frames,
        ann_file="ImageSets/val.txt",
        test_mode=True,
        pipeline=[
            load,
            dict(type="KittiFlipCropAffine", size=(1280, 384), flip_prob=0.0, crop_prob=0.0),
            dict(type="PackMono3DInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="KittiMetric3D", evaluated=writelist)
test_evaluator = val_evaluator
del load, frames
