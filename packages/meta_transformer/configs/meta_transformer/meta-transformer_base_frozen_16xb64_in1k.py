# Meta-Transformer (arXiv 2307.10802), image classification, base encoder with patches of 16, frozen, ImageNet-1K: only
# patches, class token, positions, last norm and head are trained.
# Not a row of the paper: its frozen rows are zero-shot, with CLIP's text tower.
# Cost: not stated; the recipe is ours. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_16xb64_in1k.py --launcher pytorch --gpus 16
_base_ = [
    "../_base_/models/picture.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/adamw_image.py",
    "../_base_/default_runtime.py",
]
# The rate of what stands before the frozen blocks is not made smaller by their number.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
