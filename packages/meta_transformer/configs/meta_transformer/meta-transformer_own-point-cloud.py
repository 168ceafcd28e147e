# Not a row of the paper: a template for point clouds of your own to classify, one file for each (.txt, .xyz, .csv or
# .npy with x, y and z in the first three columns), in one folder for each class. It needs no other file: copy it
# anywhere, change what stands between the lines, then
#
#   mim train mmrepro-meta-transformer path/to/your_copy.py
custom_imports = dict(imports=["mm_meta_transformer"], allow_failed_imports=False)
default_scope = "mmpretrain"

# ----------------------------------------------------------------------------------------------------------------------
data_root = "data/my_clouds"  # with {train,val}/<class>/*.txt
classes = ("chair", "table")  # the names of the folders
up = 1  # the axis that points upwards, about which clouds are turned: 0, 1 or 2; None turns none
points, group_size = 1024, 32  # of a cloud that are read, a fourth of them as middles of tokens, and of a token
encoder_file = None  # the released encoder, such as "data/checkpoints/Meta-Transformer_base_patch16_encoder.pth"
tuned = False  # whether that encoder is trained too; without a file a small one is trained from random weights
batch_size = 16
max_epochs = 100
lr = 5e-4
# ----------------------------------------------------------------------------------------------------------------------

encoder = dict(type="MetaTransformerEncoder", with_cp=False)
if encoder_file:
    encoder.update(arch="base", frozen=not tuned, init_cfg=dict(type="PretrainedMetaEncoder", checkpoint=encoder_file))
else:
    encoder.update(arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False)
model = dict(
    type="MetaTransformerPointCls",
    tokenizer=dict(type="PointPatchTokenizer", sample_ratio=0.25, group_size=group_size, channels=(128, 256, 512)),
    encoder=encoder,
    global_features=("cls", "max", "avg"),
    head=dict(type="PointClsHead", num_classes=len(classes), dropout=0.5),
)

# Clouds of fewer points repeat some of them; all are moved to the origin and fill the unit ball.
trained = [
    dict(type="SamplePoints", count=points, how="random", repeat=True),
    dict(type="CentrePoints", normalise=True),
    dict(type="RandomScalePoints", scale=(0.8, 1.25)),
    *([] if up is None else [dict(type="RandomRotatePoints", axis=up)]),
    dict(type="PackMetaInputs", keys="points"),
]
tested = [
    dict(type="SamplePoints", count=points, how="farthest", repeat=True),
    dict(type="CentrePoints", normalise=True),
    dict(type="PackMetaInputs", keys="points"),
]
clouds = dict(type="PointFolderDataset", metainfo=dict(classes=classes))

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,  # a batch norm of one cloud has no variance
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(clouds, data_root=f"{data_root}/train", pipeline=trained),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(clouds, data_root=f"{data_root}/val", pipeline=tested),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=lr, weight_decay=0.05), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(
        type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, convert_to_iter_based=True
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    repairs=dict(type="RepairCountHook"),  # the log says what was changed to read the samples
    checkpoint=dict(
        type="AtomicCheckpointHook", interval=1, max_keep_ckpts=2, save_best="accuracy/top1", rule="greater"
    ),
)
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="meta_transformer"),
    dict(type="LoadBestHook"),  # the test at the end of a training is of the best epoch
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
randomness = dict(seed=0)

# For this package's tests alone; leave it out of your copy.
generated = dict(
    _delete_=True,
    type="GeneratedModelNetDataset",
    generate=dict(train=8, test=6, points=64),
    metainfo=dict(classes=("ball", "box", "cone", "cross", "cylinder", "ring")),
    pipeline=tested[-1:],
)
tiny = {
    "model.tokenizer": dict(group_size=8, channels=(8, 8, 16)),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head": dict(num_classes=6, hidden=(16,), dropout=0.0),
    "train_dataloader": dict(batch_size=4, dataset=dict(generated, split="train")),
    "val_dataloader.dataset": dict(generated, split="test"),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg.max_epochs": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del encoder, trained, tested, clouds, generated, loader
