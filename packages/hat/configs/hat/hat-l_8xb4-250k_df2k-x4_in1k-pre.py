# HAT-L x4 fine-tuned on DF2K after ImageNet (arXiv 2205.04437, table of quantitative results).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 33.30 / 29.47 / 28.09 / 28.60 / 33.09.
# Official option files: train_HAT-L_SRx4_finetune_from_ImageNet_pretrain.yml,
# HAT-L_SRx4_ImageNet-pretrain.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated;
# after hat-l_8xb4-800k_imagenet-x4.
#
#   mim train mmrepro-hat hat-l_8xb4-250k_df2k-x4_in1k-pre.py --launcher pytorch --gpus 8
_base_ = "./hat_8xb4-250k_df2k-x4_in1k-pre.py"

model = dict(generator=dict(depths=(6,) * 12, num_heads=(6,) * 12))
load_from = "work_dirs/hat-l_8xb4-800k_imagenet-x4/iter_800000.pth"
