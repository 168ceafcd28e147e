# Not a row of the paper: a template for texts of your own to classify, or pairs of texts, in files with a line of
# column names and tabs between the columns, without quoting. It needs no other file: copy it anywhere, change what
# stands between the lines, then
#
#   mim train mmrepro-meta-transformer path/to/your_copy.py
custom_imports = dict(imports=["mm_meta_transformer"], allow_failed_imports=False)
default_scope = "mmpretrain"

# ----------------------------------------------------------------------------------------------------------------------
train, val = "data/my_texts/train.tsv", "data/my_texts/val.tsv"
columns = ("sentence",)  # that hold the texts; two of them for pairs, such as ("question", "answer")
label = "label"  # the column of labels
labels = ("0", "1")  # what stands in it
classes = ("negative", "positive")  # what that is called
encoder_file = None  # the released encoder, such as "data/checkpoints/Meta-Transformer_base_patch16_encoder.pth"
tuned = False  # whether that encoder is trained too; without a file a small one is trained from random weights
pieces, max_length = 4000, 64  # word pieces, learnt of the training texts, and how many of a text are read
vocabulary = dict(type="learned", size=pieces)  # or a file of BERT's kind, dict(type="file", path="vocab.txt"), and
# its number of lines as pieces above, 30522 of bert-base-uncased
batch_size = 32
max_epochs = 10
lr = 5e-4
# ----------------------------------------------------------------------------------------------------------------------

encoder = dict(type="MetaTransformerEncoder", with_cp=False)
if encoder_file:
    encoder.update(arch="base", frozen=not tuned, init_cfg=dict(type="PretrainedMetaEncoder", checkpoint=encoder_file))
else:
    encoder.update(arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False)
model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="TextTokenizer", vocab_size=pieces, max_length=max_length, dropout=0.1),
    encoder=encoder,
    pooling="cls",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=len(classes), dropout=0.1),
    data_preprocessor=dict(type="SampleDataPreprocessor", pad=dict(ids=0)),
)

texts = dict(
    type="LabelledTextDataset",
    texts=columns,
    label=label,
    labels=labels,
    classes=classes,
    learn_from=train,
    vocabulary=vocabulary,
    max_length=max_length,
    pipeline=[dict(type="PackMetaInputs", keys=("ids",))],
)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(texts, ann_file=train),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(texts, ann_file=val),
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
    dict(type="StrictLoadHook", paper="meta_transformer", agree=["pieces"]),
    dict(type="LoadBestHook"),  # the test at the end of a training is of the best epoch
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
randomness = dict(seed=0)

# For this package's tests alone; leave it out of your copy.
generated = dict(
    _delete_=True,
    type="GeneratedSentencesDataset",
    count=8,
    vocabulary=dict(type="learned", size=64),
    max_length=24,
    pipeline=texts["pipeline"],
)
tiny = {
    "model.tokenizer": dict(vocab_size=64, max_length=24, dropout=0.0),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head.dropout": 0.0,
    "train_dataloader": dict(batch_size=4, dataset=generated),
    "val_dataloader.dataset": generated,
    "test_dataloader.dataset": generated,
    "train_cfg.max_epochs": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del encoder, texts, train, val, generated, loader
