# ShapeNetPart with normals: 2,048 points, random ones in training, far from each other in the test.
train_pipeline = [
    dict(type="SamplePoints", count=2048, how="with_replacement"),
    dict(type="RandomScalePoints", scale=(0.8, 1.2)),
    dict(type="PointHeights", axis=1),
    dict(type="CentrePoints", normalise=True),
    dict(type="JitterPoints", sigma=0.001, clip=0.005),
    dict(type="RandomDropColours", probability=0.2),
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(type="PackMetaInputs", keys=("points", "features", "category"), fields=("gt_points",)),
]
test_pipeline = [
    dict(type="SamplePoints", count=2048, how="farthest", repeat=True),
    dict(type="PointHeights", axis=1),
    dict(type="CentrePoints", normalise=True),
    dict(type="PointFeatures", keys=("points", "colours", "heights")),
    dict(
        type="PackMetaInputs",
        keys=("points", "features", "category"),
        fields=("gt_points", "point_mask"),  # a point that was repeated counts once
        meta_keys=("sample_idx", "path", "category"),
    ),
]
dataset = dict(
    type="ShapeNetPartDataset",
    data_root="{{$MMREPRO_DATA_ROOT:data}}/pointcloud/shapenetcore_partanno_segmentation_benchmark_v0_normal",
)
train_dataloader = dict(
    batch_size=8,
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(dataset, split="trainval", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, split="test", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="PartIoUMetric")
test_evaluator = val_evaluator
del dataset
