# Mask R-CNN with a plain ViT-S from DeiT-S, 36 epochs on COCO: the baseline (arXiv 2403.07392, official README and
# table 1). Expected: 44.0 box AP and 39.9 mask AP on val2017, tested in fp16 there. Official config:
# detection/configs/mask_rcnn/mask_rcnn_deit_small_fpn_3x_coco.py.
# Cost: 8 GPUs, 2 images each; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/mask-rcnn_vit-s.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_3x.py",
    "../_base_/runtime_mmdet.py",
    "../_base_/tiny_mask-rcnn.py",
]

# No learning rates by depth here, and no weight decay of what these words are in the names of.
undecayed = {name: dict(decay_mult=0.0) for name in ("level_embed", "pos_embed", "norm", "bias")}
optim_wrapper = dict(
    constructor="DefaultOptimWrapperConstructor", paramwise_cfg=dict(_delete_=True, custom_keys=undecayed)
)
del undecayed

tiny = {
    "model.backbone": dict(
        _delete_=True,
        embed_dim=32,
        depth=4,
        num_heads=2,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.0,
        window_attn=(True, False, True, False),
        window_size=(2, None, 2, None),
        pretrain_size=64,
        init_cfg=None,
    ),
    "optim_wrapper.paramwise_cfg.num_layers": "_removed_",  # no rates by depth
}
