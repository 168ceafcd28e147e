# HAT x2 fine-tuned on DF2K after ImageNet (arXiv 2205.04437, table of quantitative results).
# PSNR (dB, luma) reported on Set5 / Set14 / BSD100 / Urban100 / Manga109: 38.73 / 35.13 / 32.69 / 34.81 / 40.71.
# Official option files: train_HAT_SRx2_finetune_from_ImageNet_pretrain.yml,
# HAT_SRx2_ImageNet-pretrain.yml.
# Cost: 8 GPUs with about 20 GB each at 4 patches (official README); time not stated;
# after hat_8xb4-800k_imagenet-x2.
#
#   mim train mmrepro-hat hat_8xb4-250k_df2k-x2_in1k-pre.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/df2k_x2.py",
    "../_base_/datasets/benchmarks_x2.py",
    "../_base_/schedules/adam_250k_in1k-pre.py",
    "../_base_/hooks/strict.py",
    "../_base_/default_runtime.py",
]

model = dict(generator=dict(upscale=2))
load_from = "work_dirs/hat_8xb4-800k_imagenet-x2/iter_800000.pth"
