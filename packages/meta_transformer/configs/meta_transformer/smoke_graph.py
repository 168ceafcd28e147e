# Graphs, small: molecules of MUTAG, mutagenic or not, by an encoder of 192 channels and four blocks that is trained
# here from random weights. Not a row of the paper. Data: MUTAG, real, without its first graph where the copy is
# damaged; a third of the graphs is tested. Cost: about a minute of one CPU core. Expected: an accuracy well above
# that of always naming the more frequent class, 67 %.
#
#   mim train mmrepro-meta-transformer smoke_graph.py
_base_ = ["../_base_/default_runtime.py"]

smoke = dict(
    subject="graph",
    data="molecules of MUTAG, real",
    network="random, trained here",
    metric="accuracy/top1",
    better="higher",
    baseline="the most frequent class",
)

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="GraphTokenizer", num_atoms=512, num_edges=512, lap_dims=8, lap_dropout=0.1, depth=4),
    encoder=dict(
        type="MetaTransformerEncoder", arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False, drop_path=0.1
    ),
    pooling="mean",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=2),
    data_preprocessor=dict(
        type="SampleDataPreprocessor", pad=dict(node_data=0, edge_data=0, edge_index=0, lap_eigvec=0)
    ),
)

pipeline = [
    dict(type="PrepareGraph", num_eigenvectors=8),
    dict(type="PackMetaInputs", keys=("node_data", "edge_data", "edge_index", "lap_eigvec")),
]
graphs = dict(
    type="GINTextDataset",
    data_root="{{$MMREPRO_DATA_ROOT:data}}/",
    ann_file="graph/MUTAG.txt",
    folds=3,
    faults="drop",
    classes=("0", "2"),
    pipeline=pipeline,
)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(graphs, part="train"),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(graphs, part="test"),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=30, val_interval=30)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=3, end=30, T_max=27, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(logger=dict(interval=8))

generated = dict(
    type="GeneratedMoleculesDataset", count=8, node_columns=1, edge_columns=1, pipeline=pipeline, _delete_=True
)
tiny = {
    "model.tokenizer": dict(num_atoms=8, num_edges=8, lap_dims=4, lap_dropout=0.0, lap_sign_flip=False),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2), drop_path=0.0),
    "train_dataloader": dict(batch_size=4, dataset=generated),
    "val_dataloader.dataset": generated,
    "test_dataloader.dataset": generated,
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del pipeline, graphs, generated
