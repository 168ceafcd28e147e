# SA-Det-100k, one class: below the data root sa_det_100k/train2017, sa_det_100k/val2017 and sa_det_100k/annotations,
# named as COCO's. Files that cannot be read are left out and counted.
_base_ = "coco.py"

data_root = "{{$MMREPRO_DATA_ROOT:data}}/sa_det_100k/"
train_dataloader = dict(dataset=dict(type="SADet100kDataset", data_root=data_root))
val_dataloader = dict(dataset=dict(type="SADet100kDataset", data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
