# Not a row of the paper: a template for pictures of your own to classify, photographs, infrared or X-ray pictures, in
# one folder for each class. It needs no other file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-meta-transformer path/to/your_copy.py
custom_imports = dict(imports=["mm_meta_transformer"], allow_failed_imports=False)
default_scope = "mmpretrain"

# ----------------------------------------------------------------------------------------------------------------------
data_root = "data/my_pictures"  # with {train,val}/<class>/*.jpg, .png, .tif, .webp or other pictures
classes = ("cat", "dog")  # the names of the folders, the first is class 0
encoder_file = None  # the released encoder, such as "data/checkpoints/Meta-Transformer_base_patch16_encoder.pth"
tuned = False  # whether that encoder is trained too; without a file a small one is trained from random weights
size, patch_size = 224, 16  # pixels of a picture's side, and of a token's; a multiple of it
flip = 0.5  # chance that a picture is mirrored; 0.0 where left and right are not alike
batch_size = 32
max_epochs = 50
lr = 5e-4
# ----------------------------------------------------------------------------------------------------------------------

encoder = dict(type="MetaTransformerEncoder", with_cp=False)
if encoder_file:
    encoder.update(arch="base", frozen=not tuned, init_cfg=dict(type="PretrainedMetaEncoder", checkpoint=encoder_file))
else:
    encoder.update(arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False)
model = dict(
    type="MetaTransformerClassifier",
    data_preprocessor=dict(
        type="ClsDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    ),
    tokenizer=dict(type="ImageTokenizer", img_size=size, patch_size=patch_size),
    encoder=encoder,
    pooling="cls",
    encoder_norm=1e-6,
    head=dict(type="MetaLinearHead", num_classes=len(classes)),
)

pictures = dict(type="PictureFolderDataset", metainfo=dict(classes=classes))
trained = [
    dict(type="LoadImageChecked"),
    dict(type="RandomResizedCrop", scale=size, crop_ratio_range=(0.5, 1.0)),
    dict(type="RandomFlip", prob=flip, direction="horizontal"),
    dict(type="PackInputs"),
]
tested = [
    dict(type="LoadImageChecked"),
    dict(type="ResizeEdge", scale=size, edge="short"),
    dict(type="CenterCrop", crop_size=size),
    dict(type="PackInputs"),
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(pictures, data_root=f"{data_root}/train", pipeline=trained),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(pictures, data_root=f"{data_root}/val", pipeline=tested),
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
    _delete_=True, type="GeneratedThermal", generate=dict(train=8, test=4, size=32), pipeline=[tested[0], tested[-1]]
)
tiny = {
    "model.tokenizer": dict(img_size=32, patch_size=16),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head.num_classes": 4,
    "train_dataloader": dict(batch_size=4, dataset=dict(generated, part="train")),
    "val_dataloader.dataset": dict(generated, part="test"),
    "test_dataloader.dataset": dict(generated, part="test"),
    "train_cfg.max_epochs": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del encoder, pictures, trained, tested, generated, loader
