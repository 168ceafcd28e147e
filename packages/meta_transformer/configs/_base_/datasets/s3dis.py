# S3DIS: 24,000 points of a room with one point in each voxel of 4 cm; trained on five areas, each room 30 times
# per epoch, tested on area 5. Heights are those of the room as it was scanned.
train_pipeline = [
    dict(type="SampleVoxels", voxel_size=0.04, max_points=24000),
    dict(type="PointHeights", axis=2),
    dict(type="RandomColourContrast", probability=0.2),
    dict(type="RandomScalePoints", scale=(0.9, 1.1)),
    dict(type="RandomRotatePoints", axis=2),
    dict(type="JitterPoints", sigma=0.005, clip=0.02),
    dict(type="RandomDropColours", probability=0.2),
    dict(type="NormaliseColours"),
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(type="PackMetaInputs", keys=("points", "features"), fields=("gt_points", "point_mask")),
]
# After each epoch one point of each voxel is tested, in the end every point of the scene, part by part.
val_pipeline = [
    dict(type="SampleVoxels", voxel_size=0.04, test=True),
    dict(type="PointHeights", axis=2),
    dict(type="NormaliseColours"),
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(type="PackMetaInputs", keys=("points", "features"), fields=("gt_points",)),
]
test_pipeline = [
    dict(type="VoxelParts", voxel_size=0.04),
    dict(type="PointHeights", axis=2),
    dict(type="NormaliseColours"),
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(type="PackMetaInputs", keys=("points", "features", "index"), fields=("gt_points",)),
]
dataset = dict(type="S3DISDataset", data_root="{{$MMREPRO_DATA_ROOT:data}}/pointcloud/S3DIS/s3disfull")
train_dataloader = dict(
    batch_size=8,
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="RepeatDataset", times=30, dataset=dict(dataset, split="train", pipeline=train_pipeline)),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, split="test", pipeline=val_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, split="test", pipeline=test_pipeline),
)
val_evaluator = dict(type="PointIoUMetric")
test_evaluator = val_evaluator
del dataset
