# Meta-Transformer (arXiv 2307.10802), image classification, base encoder with patches of 16, tuned, ImageNet-1K: top-1
# 85.4 (official README @ b08a2be, table of the image models, B16).
# Cost: not stated, and neither is the recipe; the one here is ours. Needs the encoder's weights; a test takes the file
# Image_Meta-Transformer_base_patch16.pth as its checkpoint.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_16xb64_in1k.py --launcher pytorch --gpus 16
_base_ = [
    "../_base_/models/picture.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/adamw_image.py",
    "../_base_/default_runtime.py",
]
model = dict(
    data_preprocessor=dict(
        batch_augments=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)])
    ),
    encoder=dict(frozen=False, drop_path=0.1),
    head=dict(loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, num_classes=1000)),
)

tiny = {"model.head": dict(loss=dict(num_classes=4))}
