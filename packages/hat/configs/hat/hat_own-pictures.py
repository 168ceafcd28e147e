# Not a row of the paper: a template for pictures of your own, good ones alone or pairs. It needs no other file: copy it
# anywhere, change what stands between the lines, then
#
#   mim train mmrepro-hat path/to/your_copy.py
#
# and enlarge with `HATInferencer("path/to/your_copy.py", "work_dirs/your_copy/best_psnr_iter_N.pth")`.
custom_imports = dict(imports=["mm_hat"], allow_failed_imports=False)
default_scope = "mmengine"

# ----------------------------------------------------------------------------------------------------------------------
train_pictures = dict(
    gt="data/my_pictures/train"
)  # good ones; or pairs: dict(gt="...", img="folder of the small ones")
val_pictures = dict(gt="data/my_pictures/val")  # the same for the pictures that choose the best weights
scale = 4  # 2, 3, 4 or 8
width, groups = 180, 6  # HAT; 144 with compress_ratio=24 and squeeze_factor=24 is HAT-S, 12 groups are HAT-L
start = None  # weights to start from, such as "HAT_SRx4_ImageNet-pretrain.pth": far better than from scratch
lr = 1e-5 if start else 2e-4
max_iters = 50_000
batch_size = 4  # about 20 GB on a GPU; less with with_cp=True
# ----------------------------------------------------------------------------------------------------------------------

model = dict(
    type="ImageRestorer",
    generator=dict(
        type="HAT",
        embed_dim=width,
        depths=(6,) * groups,
        num_heads=(6,) * groups,
        upscale=scale,
        with_cp=False,
    ),
    pixel_loss=dict(type="RestorationL1Loss"),
)

# Small pictures that are there are read, others are made from the good ones as the benchmarks' were.
paired = "img" in train_pictures
load_gt = [dict(type="SRLoadImageFromFile", key="gt")]
if paired:
    both = [*load_gt, dict(type="SRLoadImageFromFile", key="img"), dict(type="SRCropLike", scale=scale)]
else:
    resize = dict(type="SRMATLABLikeResize", scale=scale, mode="uint8", border="replicate")
    both = [*load_gt, dict(type="SRModCrop", scale=scale), resize]
augment = [
    dict(type="SRPairedRandomCrop", gt_patch_size=64 * scale, scale=scale),
    dict(type="SRFlip", direction="horizontal"),
    dict(type="SRFlip", direction="vertical"),
    dict(type="SRRandomTransposeHW"),
]
pictures = dict(type="BasicImageDataset", scale=scale)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="SREnlargedSampler"),
    dataset=dict(pictures, data_prefix=train_pictures, pipeline=[*both, *augment, dict(type="SRPackInputs")]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(pictures, data_prefix=val_pictures, pipeline=[*both, dict(type="SRPackInputs")]),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="RestorationMetric")
test_evaluator = dict(type="RestorationMetric")

train_cfg = dict(type="ResumableIterLoop", max_iters=max_iters, val_interval=1000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=lr, betas=(0.9, 0.99)))
param_scheduler = dict(
    type="MultiStepLR", by_epoch=False, milestones=[max_iters // 2, max_iters * 4 // 5, max_iters * 9 // 10], gamma=0.5
)
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=100),
    checkpoint=dict(
        type="AtomicCheckpointHook", by_epoch=False, interval=1000, max_keep_ckpts=2, save_best="psnr", rule="greater"
    ),
)
custom_hooks = [
    dict(type="HATCheckpointHook"),
    dict(type="StrictLoadHook", paper="hat"),
    dict(type="BasicSREMAHook", momentum=0.001),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
load_from = start

# For this package's tests alone; leave it out of your copy.
generated = dict(_delete_=True, type="GeneratedImageDataset", generate=dict(count=4, size=64))
shrunk = [dict(type="SRLoadImageFromFile", key="gt"), dict(type="SRMATLABLikeResize", scale=2)]
whole = dict(generated, pipeline=[*shrunk, dict(type="SRPackInputs")])
patch = dict(type="SRPairedRandomCrop", gt_patch_size=32, scale=2)
tiny = {
    "model.generator": dict(
        _delete_=True,
        type="HAT",
        img_size=16,
        window_size=8,
        squeeze_factor=4,
        depths=(2, 2),
        embed_dim=12,
        num_heads=(2, 2),
        upscale=2,
    ),
    "train_dataloader.dataset": dict(generated, pipeline=[*shrunk, patch, dict(type="SRPackInputs")]),
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "train_cfg.max_iters": 2,
    "train_cfg.val_interval": 2,
    "default_hooks.checkpoint.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del generated, shrunk, whole, patch, loader
