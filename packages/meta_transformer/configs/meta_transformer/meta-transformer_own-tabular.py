# Not a row of the paper: a template for a table of your own, text with a line of column names, one column of which is
# to be told from the others. Of its rows 80 % train, 10 % choose the best epoch, 10 % test. It needs no other file:
# copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-meta-transformer path/to/your_copy.py
#
# To test other rows with what was trained, give the checkpoint as codes, and the new file with split="all":
#
#   mim test mmrepro-meta-transformer path/to/your_copy.py --checkpoint CHECKPOINT --cfg-options
#     test_dataloader.dataset.files=new.csv test_dataloader.dataset.split=all test_dataloader.dataset.codes=CHECKPOINT
custom_imports = dict(imports=["mm_meta_transformer"], allow_failed_imports=False)
default_scope = "mmpretrain"

# ----------------------------------------------------------------------------------------------------------------------
file = "data/my_table.csv"  # names of columns may be in upper or lower case, here and there
separator = ","  # between cells; ".gz" files are read as well
target, classes = "bought", ("no", "yes")  # the column to tell, and its values; upper and lower case are the same
categories = dict(colour=8, city=200)  # columns of categories, and at most how many different values each has
continuous = ("price",)  # columns of numbers, at least one column of categories is needed beside them
drop = ()  # columns to leave out, such as a row's number; every column is in one of these places
missing = "unseen"  # rows with an empty cell or "?": "unseen" keeps them, "drop" leaves them out, "error"
encoder_file = None  # the released encoder, such as "data/checkpoints/Meta-Transformer_base_patch16_encoder.pth"
tuned = False  # whether that encoder is trained too; without a file a small one is trained from random weights
batch_size = 64
max_epochs = 20
lr = 5e-4
# ----------------------------------------------------------------------------------------------------------------------

encoder = dict(type="MetaTransformerEncoder", with_cp=False)
if encoder_file:
    encoder.update(arch="base", frozen=not tuned, init_cfg=dict(type="PretrainedMetaEncoder", checkpoint=encoder_file))
else:
    encoder.update(arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False)
model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(
        type="TabularTokenizer",
        num_codes=sum(categories.values()),
        num_columns=len(categories),
        num_continuous=len(continuous),
        continuous="token",  # "bypass" is the official way: past the encoder to the head
        class_token=True,
        dropout=0.1,
    ),
    encoder=encoder,
    pooling="cls",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=len(classes)),
)

rows = dict(
    type="TableDataset",
    files=file,
    separator=separator,
    target=target,
    classes=classes,
    continuous=continuous,
    drop=drop,
    missing=missing,
    sizes=categories,
    pipeline=[dict(type="PackMetaInputs", keys=("codes", "values"))],
)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(rows, split="train"),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(rows, split="val"),
)
test_dataloader = dict(val_dataloader, dataset=dict(rows, split="test"))
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
    dict(type="StrictLoadHook", paper="meta_transformer", agree=["table"]),
    dict(type="LoadBestHook"),  # the test at the end of a training is of the best epoch
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
randomness = dict(seed=0)

# For this package's tests alone; leave it out of your copy.
generated = dict(_delete_=True, type="GeneratedAdultDataset", pipeline=rows["pipeline"])
tiny = {
    "model.tokenizer": dict(num_codes=486, num_columns=12, num_continuous=1, dropout=0.0),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "train_dataloader": dict(batch_size=8, dataset=dict(generated, split="train")),
    "val_dataloader.dataset": dict(generated, split="val"),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg.max_epochs": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del encoder, rows, generated, loader
