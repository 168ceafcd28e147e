# The published forecaster: 96 steps in, the base encoder frozen, one decoder layer. A config sets enc_in, the number of
# variates, and pred_len; its data sets give the time features of the forecast's steps (future_marks).
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerForecaster",
    seq_len=96,
    pred_len=96,
    label_len=48,
    n_heads=8,
    d_layers=1,
    d_ff=2048,
    dropout=0.1,
    activation="gelu",
    n_marks=4,
    embed="timeF",
    freq="h",
    with_cp=False,
)

# For tests: a small encoder of random weights, and generated series.
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
    "model": dict(seq_len=24, pred_len=8, label_len=12, enc_in=5, n_heads=2, d_ff=32),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2, _delete_=True), init_cfg=None),
    "train_dataloader": dict(batch_size=8, dataset=dict(generated, split="train")),
    "val_dataloader": dict(batch_size=8, dataset=dict(generated, split="val")),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg": dict(max_epochs=1),
}
del generated
