# Not a row of the paper that can be checked: Cascade Mask R-CNN, mmdet's own, with ViT-CoMer-S from DINOv2-S. The
# authors published neither a config nor weights of it; the training is that of Mask R-CNN.
# Cost: 8 GPUs, 2 images each; not measured.
#
#   mim train mmrepro-vit-comer cascade-mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/cascade-mask-rcnn_vit-comer-s.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_3x.py",
    "../_base_/runtime_mmdet.py",
    "../_base_/tiny_mask-rcnn.py",
]

# three stages have a head each, and a list is replaced as a whole
heads = [dict(head, in_channels=32, fc_out_channels=32, num_classes=3) for head in _base_.model.roi_head.bbox_head]
tiny = {"model.roi_head.bbox_head": heads}
del heads
