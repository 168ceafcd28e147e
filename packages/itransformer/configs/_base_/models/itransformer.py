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

# What makes a config small enough for a test (mmrepro.testing.tiny).
tiny = {
    "model.d_model": 16,
    "model.d_ff": 32,
    "model.n_heads": 2,
    "model.e_layers": 1,
    "train_cfg.max_epochs": 1,
}
