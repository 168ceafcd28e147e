# The quickstart: a small HAT (36 channels, 2 groups of 2 blocks, window 8) that adds to bicubic x2, trained on
# generated textures and on photographs that scikit-image ships, tested on other textures and, where it is at hand, on
# Set5. Not a row of the paper. Cost: a few minutes on two CPU cores. Expected: more PSNR than bicubic interpolation on
# both.
#
#   mmrepro quickstart hat
_base_ = ["../_base_/models/hat.py", "../_base_/schedules/adam_500k.py", "../_base_/default_runtime.py"]
custom_imports = dict(imports=["mm_hat", "mm_hat.datasets.bundled_pictures", "mm_hat.quickstart"])

model = dict(
    generator=dict(
        _delete_=True,
        type="ResidualHAT",
        img_size=32,
        window_size=8,
        squeeze_factor=6,
        depths=(2, 2),
        embed_dim=36,
        num_heads=(3, 3),
        drop_path_rate=0.0,
        upscale=2,
    )
)

# Low-resolution pictures are made as those of the test sets were.
shrink = [
    dict(type="SRLoadImageFromFile", key="gt"),
    dict(type="SRMATLABLikeResize", scale=2, mode="uint8", border="replicate"),
]
augment = [
    dict(type="SRPairedRandomCrop", gt_patch_size=64, scale=2),
    dict(type="SRFlip", direction="horizontal"),
    dict(type="SRFlip", direction="vertical"),
    dict(type="SRRandomTransposeHW"),
    dict(type="SRPackInputs"),
]
whole = [*shrink, dict(type="SRPackInputs")]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(type="GeneratedImageDataset", generate=dict(count=24, size=160), pipeline=[*shrink, *augment]),
            dict(type="BundledImageDataset", size=160, pipeline=[*shrink, *augment]),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="GeneratedImageDataset", generate=dict(count=4, size=160, seed=1000), pipeline=whole),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(
        type="TexturesAndBenchmarks",
        textures=dict(type="GeneratedImageDataset", generate=dict(count=4, size=160, seed=2000), pipeline=whole),
        names=["Set5"],
        scale=2,
    ),
)
val_evaluator = dict(type="RestorationMetric")
test_evaluator = dict(type="RestorationMetric")
del shrink, augment, whole

train_cfg = dict(max_iters=600, val_interval=200)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(milestones=[360, 510], gamma=0.3)
default_hooks = dict(checkpoint=dict(interval=200, save_best="psnr"), logger=dict(interval=50))
auto_scale_lr = dict(base_batch_size=8)

# The best checkpoint goes by the textures' psnr; the base's hints are for sets with names.
tiny = {"val_evaluator.prefix": None, "test_evaluator.prefix": None}
