# Meta-Transformer (arXiv 2307.10802), video, base encoder tuned, Kinetics-400, 16 frames x 4, tested on 5 clips with 3
# crops each.
# Not a row of the paper: the official code has this training and no number for it.
# Cost: not stated; 90 epochs on 8 GPUs. Needs the encoder's weights, which the official code cannot read here.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_k400-16x4.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/video.py",
    "../_base_/datasets/clips_16x4.py",
    "../_base_/schedules/adamw_video.py",
    "../_base_/default_runtime.py",
]
model = dict(
    data_preprocessor=dict(
        batch_augments=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)])
    ),
    head=dict(loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, num_classes=400)),
)

tiny = {"model.head": dict(loss=dict(num_classes=6))}
