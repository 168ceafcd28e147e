# HAT x2, the same task learnt on ImageNet first (arXiv 2205.04437, section 3.4): the pre-training.
# Expected: no number is reported for it; hat_8xb4-250k_df2k-x2_in1k-pre starts from it.
# Official option files: train_HAT_SRx2_ImageNet_from_scratch.yml.
# Cost: about 4 days on 8 A100 (authors, issue #6).
#
#   mim train mmrepro-hat hat_8xb4-800k_imagenet-x2.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/imagenet_x2.py",
    "../_base_/datasets/benchmarks_x2.py",
    "../_base_/schedules/adam_800k.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=2))
