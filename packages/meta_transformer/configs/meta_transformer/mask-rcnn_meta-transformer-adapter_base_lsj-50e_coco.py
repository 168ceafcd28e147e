# Mask R-CNN, the upgraded one, with ViT-Adapter around Meta-Transformer-B16, 50 epochs of large-scale jittering on COCO
# (arXiv 2307.10802; official config Image/detection/configs/upgraded_mask_rcnn/
# mask_rcnn_meta_transformer_adapter_base_lsj_fpn_50ep_coco.py).
# Expected: no number of it is in the README.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer mask-rcnn_meta-transformer-adapter_base_lsj-50e_coco.py \
#     --launcher pytorch --gpus 8
_base_ = "mask-rcnn_meta-transformer-adapter_base_lsj-25e_coco.py"

model = dict(backbone=dict(drop_path_rate=0.2))
train_cfg = dict(max_epochs=50)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=50, end=50)]
