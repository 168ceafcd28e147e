# DFWB (DF2K, BSD500 and WED) for restoration at the same size, as SwinIR trains; `mmrepro data get dfwb` says where it
# is. Our own design: arXiv 2309.05239 reports these tasks, but neither its code nor its settings were published. A
# config sets the degradation and the test sets. Sets that are not there are left out, and the log says so.
train_dataloader = dict(
    batch_size=4,  # on each of 8 GPUs
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="SREnlargedSampler"),
    dataset=dict(
        type="DegradedImageDataset", data_root="DFWB", data_prefix=dict(gt="DFWB_sub"), grey=False, gt_patch_size=64
    ),
)
in_order = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
)
val_dataloader = dict(in_order, dataset=dict(type="SRBenchmarkSets", scale=1, grey=False))
test_dataloader = dict(in_order, dataset=dict(type="SRBenchmarkSets", scale=1, grey=False))
del in_order

# All channels and all pixels, as SwinIR measures; beside it the degraded pictures as they are.
val_evaluator = dict(type="RestorationMetric", crop_border=0, convert_to=None)
test_evaluator = dict(type="RestorationMetric", crop_border=0, convert_to=None)
