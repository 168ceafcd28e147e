# Not a row of the paper: removing the artefacts of JPEG at quality 10 (of 100) from colour pictures.
# arXiv 2309.05239 reports the task; its authors published neither code, settings nor weights. This is our own design
# (SwinIR's data and its head at scale 1, the schedule of training from scratch), so no number is expected, and none can
# be compared.
# Cost: not measured; about that of hat_8xb4-500k_df2k-x2, whose patches in the network are as large.
#
#   mim train mmrepro-hat hat_8xb4-500k_dfwb-jpeg10.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/dfwb.py",
    "../_base_/schedules/adam_500k.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=1, upsampler=None))

spoiled = dict(degradation=dict(type="SRCompressJPEG", quality=10))
train_dataloader = dict(dataset=spoiled)
val_dataloader = dict(dataset=dict(spoiled, names=["LIVE1"]))
test_dataloader = dict(dataset=dict(spoiled, names=["LIVE1", "Urban100"]))
default_hooks = dict(checkpoint=dict(save_best="LIVE1/psnr"))

# For the tests alone: what differs from the hints of the model's base file.
before = [dict(type="SRLoadImageFromFile", key="gt")]
spoil = [dict(type="SRCompressJPEG", quality=10)]
patch = dict(type="SRPairedRandomCrop", gt_patch_size=16, scale=1)
whole = dict(pipeline=[*before, *spoil, dict(type="SRPackInputs")])
tiny = {
    "model.generator": dict(upscale=1, upsampler=None),
    "train_dataloader.dataset": dict(pipeline=[*before, *spoil, patch, dict(type="SRPackInputs")]),
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "val_evaluator.prefix": "LIVE1",
    "test_evaluator.prefix": "LIVE1",
}
del spoiled, before, spoil, patch, whole
