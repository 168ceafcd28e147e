# Meta-Transformer (arXiv 2307.10802), tabular, base encoder frozen, Adult Census: accuracy 85.9 (official README @
# b08a2be, "19 K" parameters, which is the number of the time series column; 383,234 are trained).
# Cost: not stated; up to 200 epochs of 36,177 rows. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_adult.py
_base_ = [
    "../_base_/models/tabular.py",
    "../_base_/datasets/adult.py",
    "../_base_/schedules/adam_plateau_200e.py",
]
