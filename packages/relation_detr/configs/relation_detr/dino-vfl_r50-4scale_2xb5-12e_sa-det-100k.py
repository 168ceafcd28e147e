# DINO with the varifocal loss, ResNet-50, 12 epochs on SA-Det-100k: what Relation-DETR is compared with there (official
# README of Relation-DETR, arXiv 2407.11699). The official repository has no option file of it, so this is our reading:
# the network of DINO++ without the relation, Relation-DETR's class loss, and data, outputs and schedule of
# Relation-DETR's row.
# Expected: 43.7 AP on its validation images.
# Cost: less than Relation-DETR's, which has a second pass of the decoder; GPUs and time not stated.
#
#   mim train mmrepro-relation-detr dino-vfl_r50-4scale_2xb5-12e_sa-det-100k.py --launcher pytorch --gpus 2
_base_ = "relation-detr_r50-4scale_2xb5-12e_sa-det-100k.py"

model = dict(
    type="DINOPP",
    decoder=dict(position_relation=None),
    bbox_head=dict(loss_cls=dict(type="RelationVarifocalLoss")),
)
