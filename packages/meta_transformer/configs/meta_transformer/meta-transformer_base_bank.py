# Meta-Transformer (arXiv 2307.10802), tabular, base encoder frozen, Bank Marketing: accuracy 90.1 (official README @
# b08a2be, "2 M" parameters, which is the number of the time series column; 473,857 are trained).
# Cost: not stated; up to 200 epochs of 32,950 rows. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_bank.py
_base_ = [
    "../_base_/models/tabular.py",
    "../_base_/datasets/bank.py",
    "../_base_/schedules/adam_plateau_200e.py",
]

# `duration` is left out, the other 19 columns are categorical
model = dict(
    tokenizer=dict(num_codes=597, num_columns=19, num_continuous=0),
    head=dict(in_channels=19 * 768),
)
