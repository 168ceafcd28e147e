# Indian Pines, 695 pixels to train on and 9671 to test on. Below the data root: indian-pines/IndianPine.mat.
# Without that file: ann_file="Indian_pines_corrected.mat", gt_file="Indian_pines_gt.mat", split_seed=0 and
# keys=("indian_pines_corrected", "indian_pines_gt"); numbers of such a split cannot be compared with the paper's.
# Officially the test pixels are looked at every 5 epochs, and the last look is reported.
pixels = dict(
    type="HyperspectralDataset",
    data_root="{{$MMREPRO_DATA_ROOT:data}}/indian-pines/",
    ann_file="IndianPine.mat",
    patch_size=1,
    near_bands=1,
    num_bands=200,
    num_classes=16,
    pipeline=[dict(type="PackMetaInputs", keys="bands", meta_keys=("sample_idx", "row", "column"))],
)
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(pixels, split="train"),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(pixels, split="test"),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="LandCoverMetric")
test_evaluator = [val_evaluator, dict(type="MajorityBaseline", name="OA")]
del pixels
