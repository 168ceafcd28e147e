# ViDT with Swin-tiny, IoU-aware loss, token labels and EPFF, 100 [DET] tokens, 50 epochs on COCO, of whose masks token
# labels are made (official README @ a8c48b5, table of components).
# Expected: 47.1 AP on val2017.
# Cost: 8 GPUs with 2 pictures each; model and time not stated.
#
#   mim train mmrepro-vidt vidt_swin-tiny_iou-token-epff_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = "vidt_swin-tiny_iou-token-epff-uqr_8xb2-50e_coco.py"

model = dict(bbox_head=dict(with_vector=False))
val_evaluator = dict(metric="bbox")
test_evaluator = dict(metric="bbox")
tiny = {"val_evaluator": dict(metric="bbox"), "test_evaluator": dict(metric="bbox")}
