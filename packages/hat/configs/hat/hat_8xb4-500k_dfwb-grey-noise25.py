# Not a row of the paper: removing Gaussian noise of deviation 25 (of 255) from grey pictures.
# arXiv 2309.05239 reports the task; its authors published neither code, settings nor weights. This is our own design
# (SwinIR's data and its head at scale 1, the schedule of training from scratch), so no number is expected, and none can
# be compared.
# Cost: not measured; about that of hat_8xb4-500k_df2k-x2, whose patches in the network are as large.
#
#   mim train mmrepro-hat hat_8xb4-500k_dfwb-grey-noise25.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/dfwb.py",
    "../_base_/schedules/adam_500k.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=1, upsampler=None, in_chans=1))

spoiled = dict(degradation=dict(type="SRAddGaussianNoise", sigma=25), grey=True)
# The seed: a picture has the same noise at every test.
spoiled_alike = dict(degradation=dict(type="SRAddGaussianNoise", sigma=25, seed=0), grey=True)
train_dataloader = dict(dataset=spoiled)
val_dataloader = dict(dataset=dict(spoiled_alike, names=["BSD68"]))
test_dataloader = dict(dataset=dict(spoiled_alike, names=["Set12", "BSD68", "Urban100"]))
default_hooks = dict(checkpoint=dict(save_best="BSD68/psnr"))

# For the tests alone: what differs from the hints of the model's base file.
before = [dict(type="SRLoadImageFromFile", key="gt"), dict(type="SRGrey")]
spoil = [dict(type="SRAddGaussianNoise", sigma=25, gray=True), dict(type="SROneChannel")]
patch = dict(type="SRPairedRandomCrop", gt_patch_size=16, scale=1)
whole = dict(pipeline=[*before, *spoil, dict(type="SRPackInputs")])
tiny = {
    "model.generator": dict(upscale=1, upsampler=None, in_chans=1),
    "train_dataloader.dataset": dict(pipeline=[*before, *spoil, patch, dict(type="SRPackInputs")]),
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "val_evaluator.prefix": "BSD68",
    "test_evaluator.prefix": "BSD68",
}
del spoiled, spoiled_alike, before, spoil, patch, whole
