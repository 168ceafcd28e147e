# Meta-Transformer (arXiv 2307.10802), image classification, large encoder with patches of 14, frozen, ImageNet-1K.
# Not a row of the paper: its frozen rows are zero-shot, with CLIP's text tower.
# Cost: not stated; the recipe is ours. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_large-p14_frozen_16xb64_in1k.py --launcher pytorch --gpus 16
_base_ = "./meta-transformer_base_frozen_16xb64_in1k.py"
weights = "{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Meta-Transformer_large_patch14_encoder.pth"
model = dict(tokenizer=dict(patch_size=14), encoder=dict(arch="large", init_cfg=dict(checkpoint=weights)))
del weights
