# Not a row of the paper: a template for sounds of your own to classify, WAV files in one folder for each class. It
# needs no other file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-meta-transformer path/to/your_copy.py
custom_imports = dict(imports=["mm_meta_transformer"], allow_failed_imports=False)
default_scope = "mmpretrain"

# ----------------------------------------------------------------------------------------------------------------------
data_root = "data/my_sounds"  # with {train,val}/<class>/*.wav
classes = ("on", "off")  # the names of the folders
encoder_file = None  # the released encoder, such as "data/checkpoints/Meta-Transformer_base_patch16_encoder.pth"
tuned = False  # whether that encoder is trained too; without a file a small one is trained from random weights
sample_rate = 16000  # samples a second that the model is for; files of another rate are resampled
seconds = 1.0  # of a clip that are read; shorter ones are filled up with silence
bins = 128  # bands of the mel scale; 64 for speech at 8,000 samples a second
batch_size = 32
max_epochs = 60
lr = 5e-4
# ----------------------------------------------------------------------------------------------------------------------

encoder = dict(type="MetaTransformerEncoder", with_cp=False)
if encoder_file:
    encoder.update(arch="base", frozen=not tuned, init_cfg=dict(type="PretrainedMetaEncoder", checkpoint=encoder_file))
else:
    encoder.update(arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False)
frames = max(16, round(100 * seconds))  # of 10 ms each; a token has 16 of them
model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="AudioTokenizer", patch_size=16, stride=10, input_size=(bins, frames)),
    encoder=encoder,
    pooling="cls",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=len(classes)),
)

bands = [
    dict(type="LoadAudio", sample_rate=sample_rate, resample=True),
    dict(type="FilterBank", num_bins=bins, target_length=frames),
    dict(type="NormalizeSpectrogram"),
]
jitter = dict(type="JitterSpectrogram", noise=0.1, roll=5)
pack = dict(type="PackMetaInputs", keys="spectrogram")

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="AudioFilesDataset", data_root=f"{data_root}/train", classes=classes, pipeline=[*bands, jitter, pack]
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="AudioFilesDataset", data_root=f"{data_root}/val", classes=classes, pipeline=[*bands, pack]),
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
small = [bands[0], dict(type="FilterBank", num_bins=32, target_length=32), bands[2], pack]
generated = dict(
    _delete_=True, type="GeneratedTonesDataset", generate=dict(train=8, test=4, seconds=0.4), pipeline=small
)
tiny = {
    "model.tokenizer.input_size": (32, 32),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head.num_classes": 4,
    "train_dataloader": dict(batch_size=4, dataset=dict(generated, part="train")),
    "val_dataloader.dataset": dict(generated, part="test"),
    "test_dataloader.dataset": dict(generated, part="test"),
    "train_cfg.max_epochs": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del encoder, frames, bands, jitter, pack, small, generated, loader
