# Mask R-CNN with a plain ViT-S from DeiT-S, 12 epochs on COCO: the baseline (arXiv 2403.07392, table 1). Expected:
# 40.2 box AP and 37.1 mask AP on val2017.
# No config of it was published: the training over 36 epochs is, and this is its shorter form.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-s_deit_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco.py"

train_cfg = dict(max_epochs=12)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], milestones=[8, 11])]
