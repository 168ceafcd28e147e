# HAT-S x3 from scratch on DF2K (arXiv 2205.04437, table of quantitative results, without ImageNet pre-training).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 35.01 / 31.05 / 29.50 / 30.15 / 35.40.
# Official option files: train_HAT-S_SRx3_from_scratch.yml, HAT-S_SRx3.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated.
#
#   mim train mmrepro-hat hat-s_8xb4-500k_df2k-x3.py --launcher pytorch --gpus 8
_base_ = "./hat_8xb4-500k_df2k-x3.py"

model = dict(generator=dict(embed_dim=144, compress_ratio=24, squeeze_factor=24))
train_cfg = dict(val_interval=20_000)
val_dataloader = dict(dataset=dict(names=["Set5", "Set14", "Urban100"]))
