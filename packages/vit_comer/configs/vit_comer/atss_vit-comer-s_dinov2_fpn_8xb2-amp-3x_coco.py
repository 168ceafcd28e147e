# Not a row of the paper that can be checked: ATSS, mmdet's own, with ViT-CoMer-S from DINOv2-S. The authors published
# neither a config nor weights of it; the training is that of Mask R-CNN, without masks.
# Cost: 8 GPUs, 2 images each; not measured.
#
#   mim train mmrepro-vit-comer atss_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/atss_vit-comer-s.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/adamw_3x.py",
    "../_base_/runtime_mmdet.py",
    "../_base_/tiny_mmdet.py",
]

tiny = {
    "model.neck": dict(in_channels=[32, 32, 32], out_channels=32),
    # 32 groups of one channel could not be normed at stride 128
    "model.bbox_head": dict(in_channels=32, feat_channels=64, stacked_convs=1, num_classes=3),
    "val_evaluator.metric": "bbox",
    "test_evaluator.metric": "bbox",
}
