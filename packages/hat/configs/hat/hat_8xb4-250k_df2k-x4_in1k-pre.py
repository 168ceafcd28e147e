# HAT x4 fine-tuned on DF2K after ImageNet (arXiv 2205.04437, table of quantitative results).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 33.18 / 29.38 / 28.05 / 28.37 / 32.87.
# Official option files: train_HAT_SRx4_finetune_from_ImageNet_pretrain.yml,
# HAT_SRx4_ImageNet-pretrain.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated;
# after hat_8xb4-800k_imagenet-x4.
#
#   mim train mmrepro-hat hat_8xb4-250k_df2k-x4_in1k-pre.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/df2k_x4.py",
    "../_base_/datasets/benchmarks_x4.py",
    "../_base_/schedules/adam_250k_in1k-pre.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=4))
load_from = "work_dirs/hat_8xb4-800k_imagenet-x4/iter_800000.pth"
