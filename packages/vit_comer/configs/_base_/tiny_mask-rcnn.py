# What makes Mask R-CNN small enough for a test.
_base_ = "./tiny_mmdet.py"

tiny = {
    "model.neck": dict(in_channels=[32, 32, 32, 32], out_channels=32),
    "model.rpn_head": dict(in_channels=32, feat_channels=32),
    "model.roi_head.bbox_roi_extractor.out_channels": 32,
    "model.roi_head.mask_roi_extractor.out_channels": 32,
    "model.roi_head.bbox_head": dict(in_channels=32, fc_out_channels=32, num_classes=3),
    "model.roi_head.mask_head": dict(in_channels=32, conv_out_channels=16, num_classes=3),
}
