# ScanObjectNN's hardest variant: 1,024 points, far from each other in the test, random ones of 1,200 such in training.
# Points are shuffled first, for the first one decides which 1,200 these are; all 2,048 are centred.
train_pipeline = [
    dict(type="SamplePoints", count=2048, shuffle=True),
    dict(type="RandomScalePoints", scale=(0.9, 1.1)),
    dict(type="CentrePoints"),
    dict(type="RandomRotatePoints", axis=1),
    dict(type="SamplePoints", count=1024, how="random", of=1200),
    dict(type="PackMetaInputs", keys="points"),
]
test_pipeline = [
    dict(type="CentrePoints"),
    dict(type="SamplePoints", count=1024, how="farthest"),
    dict(type="PackMetaInputs", keys="points"),
]
dataset = dict(type="ScanObjectNNDataset", data_root="{{$MMREPRO_DATA_ROOT:data}}/pointcloud/ScanObjectNN/h5_files")
train_dataloader = dict(
    batch_size=32,
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(dataset, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, split="test", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="SingleLabelMetric", items=("recall",))]  # OA, and mAcc as recall
test_evaluator = [*val_evaluator, dict(type="MajorityBaseline")]
del dataset
