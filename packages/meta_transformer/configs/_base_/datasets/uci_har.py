# UCI HAR: 7,352 windows of 21 persons to train on, 2,947 of 9 others to test on, 128 samples at 50 Hz, six activities.
windows = dict(
    type="UCIHARDataset",
    data_root="{{$MMREPRO_DATA_ROOT:data}}/UCI HAR Dataset",
    pipeline=[dict(type="PackMetaInputs", keys="series", meta_keys=("sample_idx", "person"))],
)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # the data is in memory
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(windows, split="train"),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(windows, split="test"),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator
del windows
