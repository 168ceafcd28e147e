# Mask R-CNN with ViT-CoMer-T from DeiT-T, 36 epochs on COCO (arXiv 2403.07392, table 1). Expected: 47.1 box AP and
# 41.5 mask AP on val2017.
# No config of it was published: the sizes are those of the published UPerNet with T and agree with the reported
# number of parameters; weights of DeiT-T and the training, that of S, are our choice.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-t_in1k_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-t_in1k_fpn_8xb2-amp-1x_coco.py"

train_cfg = dict(max_epochs=36)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], milestones=[27, 33])]
