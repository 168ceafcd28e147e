# ViDT with Swin-tiny, IoU-aware loss, token labels, EPFF and mask vectors: ViDT+ with 100 [DET] tokens, 50 epochs on
# COCO with boxes and masks (official README @ a8c48b5, table of components).
# Expected: 47.9 AP on val2017.
# Cost: 8 GPUs with 2 pictures each; model and time not stated.
#
#   mim train mmrepro-vidt vidt_swin-tiny_iou-token-epff-uqr_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = "vidt-plus_swin-tiny_300q_8xb2-50e_coco.py"

model = dict(backbone=dict(num_det_tokens=100))
