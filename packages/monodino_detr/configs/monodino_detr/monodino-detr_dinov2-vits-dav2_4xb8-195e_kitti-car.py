# MonoDINO-DETR with ViT-S, with DAB queries, cars of KITTI (arXiv 2502.00315).
# Expected: nobody has published a number; the official code runs this size.
# Cost: not stated.
#
#   mim train mmrepro-monodino-detr monodino-detr_dinov2-vits-dav2_4xb8-195e_kitti-car.py --launcher pytorch --gpus 4
_base_ = [
    "../_base_/models/monodino-detr_vits.py",
    "../_base_/datasets/kitti_car.py",
    "../_base_/schedules/legacy_adamw_195e.py",
    "../_base_/default_runtime.py",
]
