# HTC++ with ViT-Adapter around Meta-Transformer-L14, 36 epochs on COCO, tested at six scales and flipped
# (arXiv 2307.10802; official config
# Image/detection/configs/htc++/htc++_meta_transformer_adapter_large_fpn_3x_coco_ms.py).
# Expected: no number of it is in the README. Of each scale only boxes of the sizes that it is good for are kept, as
# there; mmdetection merges boxes and no masks, so with `--tta` the box AP alone is measured.
# Cost: 1 image on each GPU; their number and the time are not stated, 8 GPUs are mmdetection's default.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer htc++_meta-transformer-adapter_large_3x-ms_coco.py --launcher pytorch --gpus 8
#   mim test mmrepro-meta-transformer htc++_meta-transformer-adapter_large_3x-ms_coco.py --checkpoint FILE --tta
_base_ = "htc++_meta-transformer-adapter_large_3x_coco.py"

custom_imports = dict(
    imports=[
        "mm_meta_transformer",
        "mm_meta_transformer.dense",
        "mm_meta_transformer.dense.size_range_tta",
        "mmrepro.detection.shapes",
    ],
    allow_failed_imports=False,
)
model = dict(test_cfg=dict(rcnn=dict(max_per_img=100)))
tta_model = dict(
    type="SizeRangeTTA",
    size_ranges=[("large",), ("large",), ("medium", "large"), *3 * [("small", "medium")]],
    tta_cfg=dict(nms=dict(type="soft_nms", iou_threshold=0.5, min_score=0.001), max_per_img=1000),
)
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(1600, side), keep_ratio=True) for side in range(600, 1601, 200)],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [
                dict(
                    type="PackDetInputs",
                    meta_keys=(
                        *("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction"),
                    ),
                )
            ],
        ],
    ),
]
