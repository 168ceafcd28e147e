# Bicubic interpolation x2, the baseline beside every result, through the whole test: benchmark files, metric, mean.
# It has no weights. Not a row of the paper; the expected values are the official metric's, in the metafile.
# Cost: seconds on one CPU core. There is nothing to `mim train`.
#
#   nox -s reproduce -- hat --tier evaluate --row bicubic_x2
_base_ = "./hat_8xb4-500k_df2k-x2.py"

model = dict(generator=dict(_delete_=True, type="BicubicUpscaler", upscale=2))
custom_hooks = []
