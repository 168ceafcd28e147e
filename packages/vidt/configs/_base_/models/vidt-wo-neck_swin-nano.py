# ViDT without neck with the body Swin-nano (arXiv 2110.03921): boxes and classes of 100 [DET] tokens by two heads. The
# classes are COCO's raw category ids, 0 to 90, and the background.
_base_ = "vidt_swin-nano.py"

model = dict(
    _delete_=True,
    type="ViDTNeckFree",
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(_base_.model.backbone, last_merging=False),
    bbox_head=dict(type="ViDTNeckFreeHead", num_classes=91),
)

# For tests: as with neck, without its parts.
tiny = {key: hint for key, hint in _base_.tiny.items() if key not in ("model.neck.in_channels", "model.decoder")}
tiny["_delete_"] = True
