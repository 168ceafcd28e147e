# ViDT+ with the body Swin-nano (arXiv 2204.07962): 300 [DET] tokens, fused maps (EPFF), mask vectors (unified query
# representation), overlaps of boxes (IoU-aware loss) and token labels.
_base_ = "vidt_swin-nano.py"

model = dict(
    backbone=dict(num_det_tokens=300),
    neck=dict(_delete_=True, type="EPFF", in_channels=[96, 192, 384, 256]),
    bbox_head=dict(with_vector=True, iou_aware=True, token_label=True),
)

# For tests: masks, too.
tiny = {
    "train_dataloader.dataset": dict(
        pipeline=[
            dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="ViDTResize", scale=64),
            dict(type="PackDetInputs"),
        ]
    ),
    "val_evaluator": dict(metric=["bbox", "segm"]),
    "test_evaluator": dict(metric=["bbox", "segm"]),
}
