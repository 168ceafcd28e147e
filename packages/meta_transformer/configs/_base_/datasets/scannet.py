# ScanNet v2: 64,000 points of a room with one point in each voxel of 2 cm, each room 6 times per epoch. As officially a
# room is changed before it is cut, so its corner is at 0 in training as in the test, and heights come last.
normalise = dict(
    type="NormaliseColours",
    mean=(0.46259782, 0.46253258, 0.46253258),
    std=(0.693565, 0.6852543, 0.68061745),
)
train_pipeline = [
    dict(type="RandomColourContrast", probability=0.2),
    dict(type="RandomScalePoints", scale=(0.9, 1.1)),
    dict(type="RandomRotatePoints", axis=2),
    dict(type="JitterPoints", sigma=0.005, clip=0.02),
    dict(type="RandomDropColours", probability=0.2),
    dict(type="SampleVoxels", voxel_size=0.02, max_points=64000),
    normalise,
    dict(type="PointHeights", axis=2),
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(type="PackMetaInputs", keys=("points", "features"), fields=("gt_points", "point_mask")),
]
# After each epoch one point of each voxel is tested, in the end every point of the scene, part by part.
val_pipeline = [
    dict(type="SampleVoxels", voxel_size=0.02, test=True),
    dict(type="PointHeights", axis=2),
    normalise,
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(type="PackMetaInputs", keys=("points", "features"), fields=("gt_points",)),
]
test_pipeline = [
    dict(type="VoxelParts", voxel_size=0.02),
    dict(type="PointHeights", axis=2),
    normalise,
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(type="PackMetaInputs", keys=("points", "features", "index"), fields=("gt_points",)),
]
dataset = dict(type="ScanNetDataset", data_root="{{$MMREPRO_DATA_ROOT:data}}/pointcloud/ScanNet")
train_dataloader = dict(
    batch_size=2,
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="RepeatDataset", times=6, dataset=dict(dataset, split="train", pipeline=train_pipeline)),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, split="val", pipeline=val_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, split="val", pipeline=test_pipeline),
)
val_evaluator = dict(type="PointIoUMetric")
test_evaluator = val_evaluator
del dataset, normalise
