# iTransformer as published; a config sets what differs: lengths, width and depth, use_norm.
custom_imports = dict(imports=["mm_itransformer"], allow_failed_imports=False)

model = dict(
    type="ITransformer",
    seq_len=96,
    pred_len=96,
    d_model=512,
    n_heads=8,
    e_layers=2,
    d_ff=512,
    dropout=0.1,
    activation="gelu",
    use_norm=True,
    features="M",
    attention=dict(type="FullAttention"),
    with_cp=False,
)

# What makes a config small enough for a test, without a data file (mmrepro.testing.tiny).
generated = dict(
    _delete_=True,
    type="Lorenz96Dataset",
    generate=dict(steps=400, variates=5),
    seq_len=24,
    pred_len=8,
    time_features=True,
)
tiny = {
    "model.seq_len": 24,
    "model.pred_len": 8,
    "model.d_model": 16,
    "model.d_ff": 32,
    "model.n_heads": 2,
    "model.e_layers": 2,
    "train_dataloader.dataset": dict(generated, split="train"),
    "val_dataloader.dataset": dict(generated, split="val"),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_dataloader.batch_size": 8,
    "val_dataloader.batch_size": 8,
    "train_cfg.max_epochs": 1,
}
del generated
