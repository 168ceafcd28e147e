# Mask R-CNN with ViT-CoMer-L from AugReg-L of ImageNet-22k, 36 epochs on COCO (arXiv 2403.07392, table 1). Expected:
# 52.9 box AP and 46.4 mask AP on val2017.
# No config of it was published: the sizes follow from those of S and B and agree with the reported number of
# parameters; the learning rates by depth (0.8 times per block) and everything else in the training are our choice,
# the weights (AugReg-L of ImageNet-22k) included.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-l_in22k_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-l_in22k_fpn_8xb2-amp-1x_coco.py"

train_cfg = dict(max_epochs=36)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], milestones=[27, 33])]
