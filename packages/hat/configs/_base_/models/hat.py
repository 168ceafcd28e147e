# HAT as published (CVPR 2023, arXiv 2205.04437, section 4.1). A config sets upscale; HAT-S and HAT-L width and depth.
model = dict(
    type="ImageRestorer",
    generator=dict(
        type="HAT",
        in_chans=3,
        img_size=64,
        window_size=16,
        compress_ratio=3,
        squeeze_factor=30,
        conv_scale=0.01,
        overlap_ratio=0.5,
        img_range=1.0,
        depths=(6,) * 6,
        embed_dim=180,
        num_heads=(6,) * 6,
        mlp_ratio=2.0,
        drop_path_rate=0.1,  # no official option file says so: it is the official constructor's default
        upscale=4,
        upsampler="pixelshuffle",
        resi_connection="1conv",
        with_cp=False,
    ),
    pixel_loss=dict(type="RestorationL1Loss", loss_weight=1.0),
    test_cfg=dict(tile=None),
)

# What makes a config small enough for a test, without a data file (mmrepro.testing.tiny).
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
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "val_dataloader.num_workers": 0,
    "val_dataloader.persistent_workers": False,
    "test_dataloader.num_workers": 0,
    "test_dataloader.persistent_workers": False,
    "val_evaluator.prefix": "Set5",
    "test_evaluator.prefix": "Set5",
    "train_cfg.max_iters": 2,
    "train_cfg.val_interval": 2,
    "default_hooks.checkpoint.interval": 2,
    "load_from": None,
}
del generated, shrunk, whole, patch
