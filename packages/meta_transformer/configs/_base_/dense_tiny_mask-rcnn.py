# What makes Mask R-CNN and its cascade small enough for a test.
_base_ = "./dense_tiny_mmdet.py"

tiny = {
    "model.neck": dict(in_channels=[16, 16, 16, 16], out_channels=16),
    "model.rpn_head": dict(in_channels=16, feat_channels=16),
    "model.roi_head.bbox_roi_extractor.out_channels": 16,
    "model.roi_head.mask_roi_extractor.out_channels": 16,
    "model.roi_head.bbox_head": dict(in_channels=16, fc_out_channels=16, num_classes=3),
    "model.roi_head.mask_head": dict(in_channels=16, conv_out_channels=16, num_classes=3),
    "train_cfg.max_epochs": 2,
}
