# Not a row of the paper: a template for pictures of your own with annotations in Pascal VOC's format (a picture of any
# suffix and an XML file for each name of a list); as it stands it trains on BCCD, 364 pictures of blood cells. Copy it
# together with relation-detr_own-coco.py, which it changes, and change what stands between the lines, then
#
#   mim train mmrepro-relation-detr path/to/your_copy.py
#
# and detect with `RelationDETRInferencer("path/to/your_copy.py",
# "work_dirs/your_copy/best_pascal_voc_mAP_epoch_N.pth")`.
_base_ = "relation-detr_own-coco.py"

# ----------------------------------------------------------------------------------------------------------------------
data_root = "{{$MMREPRO_DATA_ROOT:data}}/bccd/BCCD/"  # has Annotations, JPEGImages and ImageSets/Main
train_list, val_list = "ImageSets/Main/trainval.txt", "ImageSets/Main/test.txt"
classes = ("RBC", "WBC", "Platelets")  # names in the XML files; others are left out
start = None  # see relation-detr_own-coco.py, as for batch size and epochs
# ----------------------------------------------------------------------------------------------------------------------

load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation")
annotations = dict(type="LoadAnnotations", with_bbox=True)
pictures = dict(_delete_=True, type="RelationVocDataset", data_root=data_root, metainfo=dict(classes=classes))
whole = dict(
    pictures,
    ann_file=val_list,
    test_mode=True,
    # boxes are loaded last, for they are compared in pixels of the stored picture
    pipeline=[
        load,
        dict(type="TorchResize", scale=(1333, 800), single_precision=True),
        annotations,
        dict(type="PackDetInputs"),
    ],
)
train_dataloader = dict(
    dataset=dict(
        pictures,
        ann_file=train_list,
        pipeline=[load, annotations, dict(type="DETRAugmentation"), dict(type="PackDetInputs")],
    )
)
val_dataloader = dict(dataset=whole)
test_dataloader = dict(dataset=whole)
val_evaluator = dict(_delete_=True, type="VOCMetric", metric="mAP", eval_mode="area")
test_evaluator = val_evaluator

model = dict(bbox_head=dict(num_classes=len(classes)))
if start:
    model["backbone"] = dict(init_cfg=None)  # the weights have one
default_hooks = dict(checkpoint=dict(save_best="pascal_voc/mAP"))
load_from = start
del load, annotations, pictures, whole, train_list, val_list

tiny = {"default_hooks.checkpoint.save_best": "coco/bbox_mAP"}
