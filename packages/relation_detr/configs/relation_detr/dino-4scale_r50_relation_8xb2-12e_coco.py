# Not a row of the paper: mmdet's own DINO with the position relation plugged in, by two settings. Everything else, the
# class space, the protocol and the folder data/coco included, is mmdet's (other folders: `--cfg-options`); a checkpoint
# of its DINO loads into all but the relation's module.
# Cost: as mmdet's DINO, 8 GPUs; not measured.
#
#   mim train mmrepro-relation-detr dino-4scale_r50_relation_8xb2-12e_coco.py --launcher pytorch --gpus 8
_base_ = ["mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"]
custom_imports = dict(imports=["mm_relation_detr"], allow_failed_imports=False)

model = dict(type="DINOWithPositionRelation", position_relation=dict(type="PositionRelationEmbedding"))

# For this package's tests alone.
drawn = dict(count=8, size=64)
small = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="TorchResize", scale=64),
    dict(type="PackDetInputs"),
]
generated = dict(_delete_=True, type="GeneratedCocoDataset", generate=drawn, labels="contiguous", pipeline=small)
metric = dict(_delete_=True, type="GeneratedCocoMetric", generate=drawn, labels="contiguous")
tiny = {
    "model.num_queries": 12,
    "model.backbone": dict(
        depth=18, base_channels=8, frozen_stages=-1, norm_cfg=dict(type="BN", requires_grad=True), init_cfg=None
    ),
    "model.neck.in_channels": [16, 32, 64],
    "model.encoder.num_layers": 1,
    "model.decoder.num_layers": 2,
    "model.bbox_head.num_classes": 3,
    "model.test_cfg.max_per_img": 12,  # no more than queries: mmdet does not see to it
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": dict(generated, test_mode=True),
    "test_dataloader.dataset": dict(generated, test_mode=True),
    "val_evaluator": metric,
    "test_evaluator": metric,
    "train_cfg.max_epochs": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del drawn, small, generated, metric, loader
