# Reformer as in the boosting table: an encoder over the window and the empty steps behind it, whose tokens attend
# within buckets of similar ones.
_base_ = "./transformer.py"

model = dict(
    _delete_=True,
    type="TemporalReformer",
    seq_len=96,
    pred_len=96,
    d_model=512,
    n_heads=8,
    e_layers=2,
    d_ff=2048,
    dropout=0.1,
    activation="gelu",
    attention=dict(type="LSHAttention"),
    n_marks=4,
    embed="timeF",
    features="M",
    with_cp=False,
)
