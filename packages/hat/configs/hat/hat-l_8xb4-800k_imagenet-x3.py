# HAT-L x3, the same task learnt on ImageNet first (arXiv 2205.04437, section 3.4): the pre-training.
# Expected: no number is reported for it; hat-l_8xb4-250k_df2k-x3_in1k-pre starts from it.
# Official option files: train_HAT-L_SRx3_ImageNet_from_scratch.yml.
# Cost: about 8 days on 8 A100 (authors, issue #6), 13 on 8 V100 (a user, issue #35).
#
#   mim train mmrepro-hat hat-l_8xb4-800k_imagenet-x3.py --launcher pytorch --gpus 8
_base_ = "./hat_8xb4-800k_imagenet-x3.py"

model = dict(generator=dict(depths=(6,) * 12, num_heads=(6,) * 12))
