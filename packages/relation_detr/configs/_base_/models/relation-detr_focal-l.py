# Relation-DETR with FocalNet-L (large receptive fields, four focal levels) and five feature levels. 24 GB do not
# suffice to train it: relation-detr_focal-l-4scale_2xb5-24e_coco has what its authors advise there.
_base_ = "relation-detr_r50.py"

levels = 5
model = dict(
    num_feature_levels=levels,
    backbone=dict(
        _delete_=True,
        type="FocalNet",
        embed_dim=192,
        depths=(2, 2, 18, 2),
        focal_levels=(4, 4, 4, 4),
        focal_windows=(3, 3, 3, 3),
        drop_path_rate=0.5,
    ),
    neck=dict(in_channels=[192, 384, 768, 1536], num_outs=levels),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=levels))),
)
del levels

tiny = {
    "model.backbone": dict(_delete_=True, embed_dim=8, depths=(1, 1, 1, 1), focal_levels=(2, 2, 2, 2), init_cfg=None),
    "model.neck.in_channels": [8, 16, 32, 64],
}
