# Transformer as in the boosting table: an encoder-decoder whose tokens are time steps. A config sets enc_in, the number
# of variates, and its data sets give the time features of the forecast's steps (future_marks).
custom_imports = dict(imports=["mm_itransformer"], allow_failed_imports=False)

model = dict(
    type="TemporalTransformer",
    seq_len=96,
    pred_len=96,
    label_len=48,
    d_model=512,
    n_heads=8,
    e_layers=2,
    d_layers=1,
    d_ff=2048,
    dropout=0.1,
    activation="gelu",
    attention=dict(type="FullAttention"),
    n_marks=4,
    embed="timeF",
    features="M",
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
    future_marks=True,
)
tiny = {
    "model.seq_len": 24,
    "model.pred_len": 8,
    "model.label_len": 12,
    "model.enc_in": 5,
    "model.n_marks": 4,
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
