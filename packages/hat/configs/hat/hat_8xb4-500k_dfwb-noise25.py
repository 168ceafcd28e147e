# Not a row of the paper: removing Gaussian noise from colour pictures.
# arXiv 2309.05239 reports the task; its authors published neither code, settings nor weights. This is our own design
# (SwinIR's head at scale 1, the schedule of training from scratch), so no number is expected, and none can be compared.
# Cost: not measured; about that of hat_8xb4-500k_df2k-x2, whose patches in the network are as large.
#
#   mim train mmrepro-hat hat_8xb4-500k_dfwb-noise25.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/schedules/adam_500k.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

sigma = 25  # of 255 levels; usual are 15, 25 and 50
model = dict(generator=dict(upscale=1, upsampler=None))

load = dict(type="SRLoadImageFromFile", key="gt")
spoil = dict(type="SRAddGaussianNoise", sigma=sigma)
spoil_alike = dict(type="SRAddGaussianNoise", sigma=sigma, seed=0)
train_dataloader = dict(
    batch_size=4,
    num_workers=6,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="SREnlargedSampler"),
    dataset=dict(
        type="BasicImageDataset",
        data_root="DFWB",  # DF2K, BSD500's training pictures and WED, cut or not
        data_prefix=dict(gt="DFWB_sub"),
        scale=1,
        pipeline=[
            load,
            spoil,
            dict(type="SRPairedRandomCrop", gt_patch_size=64, scale=1),
            dict(type="SRFlip", direction="horizontal"),
            dict(type="SRFlip", direction="vertical"),
            dict(type="SRRandomTransposeHW"),
            dict(type="SRPackInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type="BasicImageDataset",
        data_prefix=dict(gt="original"),
        data_root="CBSD68",
        scale=1,
        pipeline=[load, spoil_alike, dict(type="SRPackInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="RestorationMetric", crop_border=0, convert_to=None, prefix="CBSD68")
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="CBSD68/psnr"))

# For the tests alone: what differs from the hints of the model's base file.
whole = dict(pipeline=[load, spoil_alike, dict(type="SRPackInputs")])
patch = dict(type="SRPairedRandomCrop", gt_patch_size=16, scale=1)
tiny = {
    "model.generator": dict(upscale=1, upsampler=None),
    "train_dataloader.dataset": dict(pipeline=[load, spoil, patch, dict(type="SRPackInputs")]),
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "val_evaluator.prefix": "CBSD68",
    "test_evaluator.prefix": "CBSD68",
}
del patch, whole, load, spoil, spoil_alike
