# Meta-Transformer (arXiv 2307.10802), image classification, large encoder with patches of 14, tuned, ImageNet-1K: top-1
# 88.1 (official README @ b08a2be, table of the image models, L14).
# Cost: not stated, and neither is the recipe; the one here is ours. Needs the encoder's weights; a test takes the file
# Image_Meta-Transformer_large_patch14.pth as its checkpoint.
#
#   mim train mmrepro-meta-transformer meta-transformer_large-p14_16xb64_in1k.py --launcher pytorch --gpus 16
_base_ = "./meta-transformer_base_16xb64_in1k.py"
weights = "{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Meta-Transformer_large_patch14_encoder.pth"
model = dict(
    tokenizer=dict(patch_size=14),
    encoder=dict(arch="large", drop_path=0.2, with_cp=True, init_cfg=dict(checkpoint=weights)),
)
del weights
