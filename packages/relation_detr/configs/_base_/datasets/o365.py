# Objects365 v2, raw category ids 1 to 365: below the data root objects365/images/train/patch*, objects365/images/val
# and the two annotation files. Images of the list that were never published are left out.
_base_ = "coco.py"

data_root = "{{$MMREPRO_DATA_ROOT:data}}/objects365/"
train_dataloader = dict(
    dataset=dict(
        type="RelationObjects365Dataset",
        data_root=data_root,
        ann_file="annotations/zhiyuan_objv2_train.json",
        data_prefix=dict(img="images/train/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        type="RelationObjects365Dataset",
        data_root=data_root,
        ann_file="annotations/zhiyuan_objv2_val.json",
        data_prefix=dict(img="images/val/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/zhiyuan_objv2_val.json")
test_evaluator = val_evaluator
