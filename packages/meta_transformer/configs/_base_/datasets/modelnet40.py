# ModelNet40: the first 1,024 of 2,048 points, in training in random order, scaled and moved.
train_pipeline = [
    dict(type="SamplePoints", count=1024, how="first", shuffle=True),
    dict(type="RandomScalePoints", scale=(2 / 3, 3 / 2), shift=0.2),
    dict(type="PackMetaInputs", keys="points"),
]
test_pipeline = [
    dict(type="SamplePoints", count=1024, how="first"),
    dict(type="PackMetaInputs", keys="points"),
]
dataset = dict(type="ModelNet40Dataset", data_root="{{$MMREPRO_DATA_ROOT:data}}/pointcloud/modelnet40_ply_hdf5_2048")
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
