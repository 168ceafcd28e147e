# HAT-S x4 on DF2K from x2 weights (arXiv 2205.04437, table of quantitative results, without ImageNet pre-training).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 32.92 / 29.15 / 27.97 / 27.87 / 32.35.
# Official option files: train_HAT-S_SRx4_finetune_from_SRx2.yml, HAT-S_SRx4.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated; after hat-s_8xb4-500k_df2k-x2.
#
#   mim train mmrepro-hat hat-s_8xb4-250k_df2k-x4_from-x2.py --launcher pytorch --gpus 8
# From the official weights: --cfg-options load_from=HAT-S_SRx2.pth. Two keys, generator.upsample.2.*, start anew.
_base_ = "./hat_8xb4-250k_df2k-x4_from-x2.py"

model = dict(generator=dict(embed_dim=144, compress_ratio=24, squeeze_factor=24))
train_cfg = dict(val_interval=20_000)
val_dataloader = dict(dataset=dict(names=["Set5", "Set14", "Urban100"]))
load_from = "work_dirs/hat-s_8xb4-500k_df2k-x2/iter_500000.pth"
