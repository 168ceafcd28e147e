# HAT x2 from scratch on DF2K (arXiv 2205.04437, table of quantitative results, without ImageNet pre-training).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 38.63 / 34.86 / 32.62 / 34.45 / 40.26.
# Official option files: train_HAT_SRx2_from_scratch.yml, HAT_SRx2.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated.
#
#   mim train mmrepro-hat hat_8xb4-500k_df2k-x2.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/df2k_x2.py",
    "../_base_/datasets/benchmarks_x2.py",
    "../_base_/schedules/adam_500k.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=2))
