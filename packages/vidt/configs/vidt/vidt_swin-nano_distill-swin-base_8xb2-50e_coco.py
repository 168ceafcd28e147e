# ViDT with Swin-nano, 50 epochs on COCO with the tokens of ViDT with Swin-base (arXiv 2110.03921; official README of
# branch main @ 5207d04, table of distillation, coefficient 4).
# Expected: 41.8 AP on val2017.
# Cost: 8 V100 GPUs with 2 pictures each; time not stated. The teacher's weights are downloaded; give others by
# --cfg-options model.teacher_checkpoint=FILE. A test needs no teacher.
#
#   mim train mmrepro-vidt vidt_swin-nano_distill-swin-base_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = "vidt_swin-nano_8xb2-50e_coco.py"

model = dict(
    type="ViDTDistiller",
    teacher_config="{{ fileDirname }}/vidt_swin-base_8xb2-50e_coco.py",
    teacher_checkpoint="https://github.com/naver-ai/vidt/releases/download/v0.1-vidt/vidt_base_50.pth",
    distil_weight=4.0,
)
# For tests: the student alone.
tiny = {
    "model.type": "ViDT",
    "model.teacher_config": "_removed_",
    "model.teacher_checkpoint": "_removed_",
    "model.distil_weight": "_removed_",
}
