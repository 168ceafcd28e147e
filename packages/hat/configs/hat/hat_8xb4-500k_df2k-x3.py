# HAT x3 from scratch on DF2K (arXiv 2205.04437, table of quantitative results, without ImageNet pre-training).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 35.07 / 31.08 / 29.54 / 30.23 / 35.53.
# Official option files: train_HAT_SRx3_from_scratch.yml, HAT_SRx3.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated.
#
#   mim train mmrepro-hat hat_8xb4-500k_df2k-x3.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/df2k_x3.py",
    "../_base_/datasets/benchmarks_x3.py",
    "../_base_/schedules/adam_500k.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=3))
