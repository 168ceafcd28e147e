# MonoDINO-DETR with ViT-B, without DAB queries, cars of KITTI (arXiv 2502.00315).
# Expected: 26.72 / 19.19 / 15.92 AP3D R40 of easy / moderate / hard cars on val
# (official README @ 65004cc, the best of all epochs on that split; runs differ by 1 AP either way).
# Cost: 4 TITAN RTX; time not stated.
#
#   mim train mmrepro-monodino-detr monodino-detr_dinov2-vitb-dav2_no-dab_4xb8-195e_kitti-car.py \
#     --launcher pytorch --gpus 4
_base_ = "monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-car.py"

model = dict(decoder=dict(use_dab=False))
