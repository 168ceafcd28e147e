# Not a row of the paper: the published network and recipe, trained on KITTI's pedestrians, cars and cyclists together.
# Expected: nobody has published a number; the paper reports cars alone.
# Cost: not stated.
#
#   mim train mmrepro-monodino-detr monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-3class.py --launcher pytorch --gpus 4
_base_ = "monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-car.py"

classes = ("Pedestrian", "Car", "Cyclist")
model = dict(bbox_head=dict(num_classes=3))  # a row for each, and none that is never a target
train_dataloader = dict(dataset=dict(writelist=classes))
val_dataloader = dict(dataset=dict(writelist=classes))
test_dataloader = dict(dataset=dict(writelist=classes))
val_evaluator = dict(evaluated=classes)
test_evaluator = dict(evaluated=classes)

# For tests: generated frames with the three classes.
tiny = {
    "train_dataloader.dataset": dict(writelist=classes),
    "val_dataloader.dataset": dict(writelist=classes),
    "test_dataloader.dataset": dict(writelist=classes),
}
