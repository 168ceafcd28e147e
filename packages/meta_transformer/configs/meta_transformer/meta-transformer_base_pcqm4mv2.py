# Meta-Transformer (arXiv 2307.10802), graphs, base encoder frozen, PCQM4Mv2: validation MAE 0.8863 (paper, from memory,
# unverified; its table names PCQM4M-LSC). As released, the tokenizer is frozen at random, and only the head is trained:
# 0.593 M parameters that are used, 1.183 M with a pooler and a norm that nothing reads.
# The official code lets attention run over the graphs of a batch, so its prediction is one constant for all molecules,
# and its encoder is overwritten at random. Here attention runs over a graph's tokens, and the encoder is the released
# one; model.official_compat=True and model.encoder.num_heads=32 give the official network. Its attention dropout of 0.1
# is at work with model.encoder.frozen=False alone: here a frozen encoder is in evaluation mode. The authors train in
# fp16: --amp. With model.frozen_tokenizer=False the tokenizer is trained, too.
# Cost: not stated; 1 M updates of 128 molecules. Needs the encoder's weights, and RDKit (pip install rdkit).
#
#   mim train mmrepro-meta-transformer meta-transformer_base_pcqm4mv2.py
_base_ = ["../_base_/models/frozen_encoder.py", "../_base_/default_runtime.py"]

model = dict(
    type="MetaTransformerGraphRegressor",
    tokenizer=dict(
        type="GraphTokenizer", num_atoms=512 * 9, num_edges=512 * 3, lap_dims=16, lap_dropout=0.2, lap_sign_flip=True
    ),
    encoder=dict(attn_drop=0.1),
    frozen_tokenizer=True,
    official_compat=False,
)

# Below the data root: pcqm4m-v2/raw/data.csv.gz and pcqm4m-v2/split_dict.pt, as OGB publishes them.
prepared = [
    dict(type="PrepareGraph", num_eigenvectors=16, max_nodes=128),
    dict(type="PackMetaInputs", keys=("node_data", "edge_data", "edge_index", "lap_eigvec"), fields=("gt_value",)),
]
molecules = dict(
    type="PCQM4Mv2Dataset",
    data_root="{{$MMREPRO_DATA_ROOT:data}}/pcqm4m-v2",
    pipeline=[dict(type="MoleculeFromSMILES"), *prepared],
)
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(molecules, part="train"),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(molecules, part="valid"),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="MetaAbsoluteErrorMetric")
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableIterLoop", max_iters=1_000_000, val_interval=26_396)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# fairseq's Adam takes the decay off the weights themselves, which torch calls AdamW.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, eps=1e-8, weight_decay=0.1),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=60_000),
    dict(type="PolyLR", power=1.0, eta_min=1e-9, by_epoch=False, begin=60_000, end=1_000_000),
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=26_396, save_best="mae", rule="less"),
    logger=dict(interval=100),
)
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="meta_transformer"),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
log_processor = dict(by_epoch=False)

generated = dict(type="GeneratedMoleculesDataset", count=8, pipeline=prepared, _delete_=True)
tiny = {
    "model.tokenizer": dict(lap_dropout=0.0, lap_sign_flip=False),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "train_dataloader": dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=generated),
    "val_dataloader": dict(num_workers=0, persistent_workers=False, dataset=generated),
    "test_dataloader": dict(num_workers=0, persistent_workers=False, dataset=generated),
    "train_cfg": dict(max_iters=4, val_interval=2),
    "default_hooks.checkpoint": dict(interval=2),
}
del prepared, molecules, generated
