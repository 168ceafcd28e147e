# Validation on Set5 and Set14, test on all five sets, x3. Sets that are not there are left out, and the log says so.
in_order = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
)
val_dataloader = dict(in_order, dataset=dict(type="SRBenchmarkSets", names=["Set5", "Set14"], scale=3))
test_dataloader = dict(
    in_order,
    dataset=dict(type="SRBenchmarkSets", names=["Set5", "Set14", "BSD100", "Urban100", "Manga109"], scale=3),
)
del in_order

# On the luma, without as many border pixels as the scale; the bicubic baseline beside it.
val_evaluator = dict(type="RestorationMetric", convert_to="Y")
test_evaluator = dict(type="RestorationMetric", convert_to="Y")
