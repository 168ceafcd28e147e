# HAT x4 on DF2K from x2 weights (arXiv 2205.04437, table of quantitative results, without ImageNet pre-training).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 33.04 / 29.23 / 28.00 / 27.97 / 32.48.
# Official option files: train_HAT_SRx4_finetune_from_SRx2.yml, HAT_SRx4.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated; after hat_8xb4-500k_df2k-x2.
#
#   mim train mmrepro-hat hat_8xb4-250k_df2k-x4_from-x2.py --launcher pytorch --gpus 8
# From the official weights: --cfg-options load_from=HAT_SRx2.pth. Two keys, generator.upsample.2.*, start anew.
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/df2k_x4.py",
    "../_base_/datasets/benchmarks_x4.py",
    "../_base_/schedules/adam_250k_from-x2.py",
    "../_base_/hooks/from_other_scale.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=4))
load_from = "work_dirs/hat_8xb4-500k_df2k-x2/iter_500000.pth"
