# MonoDINO-DETR with ViT-B, with DAB queries, cars of KITTI (arXiv 2502.00315).
# Expected: 27.93 / 19.39 / 15.97 AP3D R40 of easy / moderate / hard cars on val
# (official README @ 65004cc, the best of all epochs on that split; runs differ by 1 AP either way).
# Cost: 4 TITAN RTX; time not stated.
# It is monodinodetr.yaml there, and monodinodetr_origin.yaml, too, which differs in a setting that nothing reads.
#
#   mim train mmrepro-monodino-detr monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-car.py --launcher pytorch --gpus 4
_base_ = [
    "../_base_/models/monodino-detr_vitb.py",
    "../_base_/datasets/kitti_car.py",
    "../_base_/schedules/legacy_adamw_195e.py",
    "../_base_/default_runtime.py",
]
