# COCO 2017 as in coco_instance.py, boxes alone.
_base_ = "./coco_instance.py"

pipeline = [dict(step) for step in _base_.train_dataloader.dataset.pipeline]
pipeline[1] = dict(type="LoadAnnotations", with_bbox=True)
whole = [dict(step) for step in _base_.val_dataloader.dataset.pipeline]
whole[2] = dict(type="LoadAnnotations", with_bbox=True)
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=whole))
test_dataloader = val_dataloader
val_evaluator = dict(metric="bbox")
test_evaluator = val_evaluator
del pipeline, whole
