# Mask R-CNN with a plain ViT-T from DeiT-T, 12 epochs on COCO: the baseline (arXiv 2403.07392, table 1). Expected:
# 35.5 box AP and 33.5 mask AP on val2017.
# No config of it was published: that of S with the sizes of T and its shorter training.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-t_deit_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-t_deit_fpn_8xb2-amp-3x_coco.py"

train_cfg = dict(max_epochs=12)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], milestones=[8, 11])]
