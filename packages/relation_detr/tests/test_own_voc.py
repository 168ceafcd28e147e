"""The template for data in VOC's format, on real files."""

import copy
from pathlib import Path

import torch
from mmdet.registry import DATASETS
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mmrepro.testing.configs import load_config
from mmrepro.testing.data import require_data

OWN_VOC = Path(__file__).parents[1] / "configs" / "relation_detr" / "relation-detr_own-voc.py"
PIPELINE = [
    dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]


def test_a_small_detector_learns_a_batch_of_blood_cells():
    """The real files as the template reads them, the quickstart's small model, a few steps on one batch."""
    require_data("bccd")
    template = load_config(OWN_VOC)
    small = copy.deepcopy(load_config(OWN_VOC.with_name("relation-detr_r18_1xb4-12e_shapes.py")).model)
    small.decoder.num_layers = 2
    small.bbox_head.num_classes = template.model.bbox_head.num_classes
    pictures = dict(template.train_dataloader.dataset, serialize_data=False)
    pictures["pipeline"] = [*PIPELINE[:2], dict(type="TorchResize", scale=96), PIPELINE[2]]
    sampler = dict(type="DefaultSampler", shuffle=False)
    loader = Runner.build_dataloader(dict(dataset=pictures, batch_size=2, num_workers=0, sampler=sampler))
    tested = DATASETS.build(dict(template.val_dataloader.dataset, serialize_data=False))
    for dataset in (loader.dataset, tested):
        assert len(dataset)
        assert dataset.metainfo["classes"] == ("RBC", "WBC", "Platelets")
        assert all(dataset.get_data_info(index)["instances"] for index in range(len(dataset)))
    assert len(tested[0]["data_samples"].gt_instances) == len(tested.get_data_info(0)["instances"])

    torch.manual_seed(0)
    model = MODELS.build(small)
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    batch = model.data_preprocessor(next(iter(loader)), training=True)
    losses = []
    for _ in range(4):
        losses.append(sum(model(**batch, mode="loss").values()))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
