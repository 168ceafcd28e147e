# ViDT+ with Swin-nano for data without masks: EPFF, 300 [DET] tokens and IoU-aware loss, but neither mask vectors nor
# token labels, which are learnt from masks. Not a row of the paper, which trains with masks.
# Expected: nobody says; with masks in training 45.3 AP on val2017.
# Cost: nobody says.
#
#   mim train mmrepro-vidt vidt-plus-det_swin-nano_300q_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/vidt-plus_swin-nano.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_50e.py",
    "../_base_/default_runtime.py",
]

model = dict(bbox_head=dict(with_vector=False, token_label=False))
# Of weights learnt with masks, such as the official ones, what the model lacks is left out.
custom_hooks = [dict(_base_.custom_hooks[0], drop_heads=True), *_base_.custom_hooks[1:]]

# For tests: without masks.
tiny = {
    "train_dataloader.dataset": dict(
        pipeline=[
            dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="ViDTResize", scale=64),
            dict(type="PackDetInputs"),
        ]
    ),
    "val_evaluator": dict(metric="bbox"),
    "test_evaluator": dict(metric="bbox"),
}
