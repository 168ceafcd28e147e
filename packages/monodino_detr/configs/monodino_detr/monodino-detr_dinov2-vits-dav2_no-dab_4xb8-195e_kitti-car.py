# MonoDINO-DETR with ViT-S, without DAB queries, cars of KITTI (arXiv 2502.00315).
# Expected: nobody has published a number; the official code runs this size.
# Cost: not stated.
#
#   mim train mmrepro-monodino-detr monodino-detr_dinov2-vits-dav2_no-dab_4xb8-195e_kitti-car.py \
#     --launcher pytorch --gpus 4
_base_ = "monodino-detr_dinov2-vits-dav2_4xb8-195e_kitti-car.py"

model = dict(decoder=dict(use_dab=False))
