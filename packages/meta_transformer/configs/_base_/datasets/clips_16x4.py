# Clips of 16 frames, every fourth, each twice an epoch (officially twice in a batch); tested on 5 clips x 3 crops.
# Below the data root: kinetics400/{train,val}.txt with lines "<path> <label>", paths from that folder on.
clips = dict(type="CustomDataset", data_root="{{$MMREPRO_DATA_ROOT:data}}/kinetics400", data_prefix="")
edge = dict(type="ResizeEdge", scale=224, edge="short", interpolation="bicubic", backend="pillow")
pack = dict(type="PackMetaInputs", keys="clip")
train_dataloader = dict(
    batch_size=12,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="RepeatDataset",
        times=2,
        dataset=dict(
            clips,
            ann_file="train.txt",
            pipeline=[
                dict(type="LoadClip", num_frames=16, stride=4, random=True),
                dict(
                    type="EveryFrame",
                    transforms=[
                        dict(type="RandomResizedCrop", scale=224, backend="pillow", interpolation="bicubic"),
                        dict(type="RandomFlip", prob=0.5, direction="horizontal"),
                        dict(
                            type="RandAugment",
                            policies="timm_increasing",
                            num_policies=4,
                            total_level=10,
                            magnitude_level=7,
                            magnitude_std=0.5,
                        ),
                        dict(
                            type="RandomErasing",
                            erase_prob=0.25,
                            mode="rand",
                            min_area_ratio=0.02,
                            max_area_ratio=1 / 3,
                        ),
                    ],
                ),
                dict(type="StackFrames", num_frames=16),
                pack,
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=6,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        clips,
        ann_file="val.txt",
        pipeline=[
            dict(type="LoadClip", num_frames=16, stride=4),
            dict(type="EveryFrame", transforms=[edge, dict(type="CenterCrop", crop_size=224)]),
            dict(type="StackFrames", num_frames=16),
            pack,
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        clips,
        ann_file="val.txt",
        pipeline=[
            dict(type="LoadClip", num_frames=16, stride=4, num_clips=5),
            dict(type="EveryFrame", transforms=[edge]),
            dict(type="CropViews", count=3),
            dict(type="StackFrames", num_frames=16, views=True),
            pack,
        ],
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1, 5))
test_evaluator = [val_evaluator, dict(type="MajorityBaseline")]
del clips, edge, pack
