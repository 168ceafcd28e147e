"""The stored cases of denoising, of matching and losses, of a training step and of what comes out of a model.

Two things are not the package's own path: ``match_hybrid_last`` of ``criterion`` comes from the assigner for targets
that are listed several times, and is compared with the hybrid branch's matching, which lists them once; and in
``train_step`` the contents of the given denoising queries are looked up here.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor

from mm_relation_detr.checkpoint import from_official, official_names, target
from mm_relation_detr.models import relation_detr  # noqa: F401  registers the detector
from mm_relation_detr.models.denoising import ContrastiveDenoising, DenoisingWithIndicator, Draws
from mm_relation_detr.models.matching import Outputs, Pairs
from mm_relation_detr.models.relation_head import RelationDETRHead

FOCAL = dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0)
OFFICIAL = {"cls": ("class", 1.0), "bbox": ("bbox", 5.0), "iou": ("giou", 2.0)}  # name and weight of a loss
UNIT = (1, 1)  # the height and width of images whose boxes are given in parts of them


def tensors(inputs: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}


def data_samples(given: dict[str, Tensor], shapes: list[tuple[int, int]], normalised: bool) -> list[DetDataSample]:
    """Return the targets of the images as mmdet gives them: corners in pixels."""
    samples = []
    for image, shape in enumerate(shapes):
        boxes = given[f"gt_boxes_{image}"]
        sample = DetDataSample(metainfo=dict(img_shape=shape, batch_input_shape=shape))
        sample.gt_instances = InstanceData(
            bboxes=bbox_cxcywh_to_xyxy(boxes) if normalised else boxes, labels=given[f"gt_labels_{image}"]
        )
        samples.append(sample)
    return samples


def official_losses(losses: dict[str, Tensor], weighted: bool) -> dict[str, float]:
    """Return losses by the official names (``d0.dn_loss_iou`` is ``loss_giou_dn_0``), with or without their weights."""
    found = {}
    for name, value in losses.items():
        layer, _, rest = name.rpartition(".")
        prefix, part = rest.split("loss_")
        official, weight = OFFICIAL[part]
        suffixes = {"": [layer[1:]], "dn_": ["dn", layer[1:]], "enc_": ["enc"]}
        suffixes |= {f"hybrid_{key}": [*value, "hybrid"] for key, value in suffixes.items() if key != "dn_"}
        renamed = "_".join(["loss", official, *filter(None, suffixes[prefix])])
        found[renamed] = float(value.detach()) / (1.0 if weighted else weight)
    return found


def criterion(manifest: dict, state: dict, inputs: dict) -> dict:
    """The losses, costs, matchings and gradients of given predictions, with both class losses."""
    config, given = manifest["config"], tensors(inputs)
    samples = data_samples(given, [UNIT] * 3, normalised=True)
    metas, targets = [one.metainfo for one in samples], [one.gt_instances for one in samples]
    none = [InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)) for _ in samples]
    heads = {
        name: RelationDETRHead(config["num_classes"], num_pred_layer=1, as_two_stage=False, loss_cls=loss)
        for name, loss in (("vfl", None), ("focal", FOCAL))
    }
    found = {}
    runs = {
        "vfl": ("vfl", targets, 1, False),
        "vfl_hybrid": ("vfl", targets, config["hybrid_repeat"], False),
        "focal": ("focal", targets, 1, False),
        "focal_binary": ("focal", targets, 1, True),
        "vfl_no_targets": ("vfl", none, 1, False),
    }
    for run, (head, wanted, repeat, binary) in runs.items():
        logits, boxes = given["logits"].clone().requires_grad_(), given["boxes"].clone().requires_grad_()
        encoder = Outputs(given["enc_logits"][None], given["enc_boxes"][None], repeat, binary)
        losses = heads[head].loss_by_feat({"": Outputs(logits, boxes, repeat), "enc_": encoder}, wanted, metas)
        found |= {f"losses/{run}/{name}": value for name, value in official_losses(losses, weighted=False).items()}
        sum(losses[f"loss_{part}"] for part in OFFICIAL).backward()
        found |= {f"grad_logits_{run}": logits.grad[-1].numpy(), f"grad_boxes_{run}": boxes.grad[-1].numpy()}

    main, denoising = Outputs(given["logits"], given["boxes"]), Outputs(given["dn_logits"], given["dn_boxes"])
    losses = heads["vfl"].loss_by_feat({"": main}, targets, metas, denoising, config["denoising_groups"])
    found |= {f"losses/denoising/{name}": value for name, value in official_losses(losses, weighted=False).items()}
    return found | _matchings(heads["vfl"], given, targets, metas, config["hybrid_repeat"])


def _matchings(head: RelationDETRHead, given: dict, targets: list, metas: list, repeat: int) -> dict:
    main = Outputs(given["logits"], given["boxes"])
    encoder = Outputs(given["enc_logits"][None], given["enc_boxes"][None])
    last = Outputs(given["logits"][-1:], given["boxes"][-1:])
    pairs, of_encoder, of_hybrid = head.assigner.assign_batch(
        [main, encoder, last._replace(repeat=repeat)], targets, metas
    )
    # the case tells copies of a target apart, our hybrid matching does not: they are other targets here
    repeated = [InstanceData.cat([one] * repeat) for one in targets]
    (of_copies,) = head.assigner.assign_batch([last], repeated, metas)
    found, start = {}, 0
    for image, (wanted, meta) in enumerate(zip(targets, metas, strict=True)):
        for layer, name in enumerate(("layer0", "layer1", "last")):
            found[f"match_{name}_{image}"] = _of_image(pairs, layer, image, start)
        found[f"match_enc_{image}"] = _of_image(of_encoder, 0, image, start)
        copies, ours = _of_image(of_copies, 0, image, repeat * start), _of_image(of_hybrid, 0, image, start)
        np.testing.assert_array_equal(copies[0], ours[0])
        np.testing.assert_array_equal(copies[1] % max(len(wanted), 1), ours[1])
        found[f"match_hybrid_last_{image}"] = copies
        found[f"cost_{image}"] = head.assigner.cost(main, wanted, meta, image)[-1].numpy()
        start += len(wanted)
    return found


def _of_image(pairs: Pairs, layer: int, image: int, start: int) -> np.ndarray:
    """Return the queries of an image and their targets, counted within the image."""
    here = pairs.images[layer] == image
    return torch.stack([pairs.queries[layer][here], pairs.targets[layer][here] - start]).numpy()


def denoising_cdn(manifest: dict, state: dict, inputs: dict) -> dict:
    """Contrastive denoising queries for recorded random numbers."""
    config, given = manifest["config"], tensors(inputs)
    generator = ContrastiveDenoising(
        num_classes=config["num_classes"],
        embed_dims=config["label_embed_dim"],
        num_matching_queries=config["num_queries"],
        label_noise_scale=config["label_noise_prob"],
        box_noise_scale=config["box_noise_scale"],
        group_cfg=dict(dynamic=True, num_dn_queries=config["denoising_nums"]),
    )
    return _denoised(generator, given, (2 * given["box_sign01"] - 1) * given["box_uniform"], state)


def denoising_dn(manifest: dict, state: dict, inputs: dict) -> dict:
    """Denoising queries with an indicator for recorded random numbers."""
    config, given = manifest["config"], tensors(inputs)
    generator = DenoisingWithIndicator(
        num_classes=config["num_classes"],
        embed_dims=config["label_embed_dim"],
        num_matching_queries=config["num_queries"],
        num_groups=config["denoising_groups"],
        label_noise_probability=config["label_noise_prob"],
        box_noise_scale=config["box_noise_scale"],
    )
    return _denoised(generator, given, 2 * given["box_uniform"] - 1, state)


def _denoised(generator: ContrastiveDenoising, given: dict, shift: Tensor, state: dict) -> dict:
    generator.label_embedding.weight.data = torch.from_numpy(state["denoising_generator.label_encoder.weight"])
    samples = data_samples(given, [UNIT] * 2, normalised=True)
    draws = Draws(given["label_flip_uniform"], given["label_random"], shift)
    contents, boxes, mask, _ = generator(samples, draws)
    labels = torch.cat([sample.gt_instances.labels for sample in samples])
    noised = generator.noised_labels(labels.repeat(len(draws.flip) // len(labels)), draws)
    found = {"noised_labels": noised, "label_queries": contents, "box_queries": boxes, "attn_mask": mask}
    return {name: value.detach().numpy() for name, value in found.items()}


def train_step(manifest: dict, state: dict, inputs: dict) -> dict:
    """The losses of a batch with given denoising queries, and the norms of gradients of their sum."""
    given, official = tensors(inputs), tensors(state)
    model = target(official)
    model.load_state_dict(from_official(official, model), assign=True)
    model.train()
    images = [given[name] for name in ("image_a", "image_b")]
    shapes = [tuple(image.shape[1:]) for image in images]
    padded = torch.zeros(len(images), 3, *(max(sides) for sides in zip(*shapes, strict=True)))
    for place, image in zip(padded, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    samples = data_samples(given, shapes, normalised=False)
    for sample in samples:
        sample.set_metainfo(dict(batch_input_shape=tuple(padded.shape[2:])))

    embedding, labels = model.dn_query_generator.label_embedding, given["dn_label_ids"]
    contents = embedding(labels.clamp(min=0)) * (labels >= 0)[..., None]
    meta = dict(num_denoising_queries=labels.shape[1], num_denoising_groups=manifest["given"]["denoising_groups"])
    queries = contents, given["dn_box_queries"], given["dn_attn_mask"], meta
    with mock.patch.object(ContrastiveDenoising, "__call__", return_value=queries):
        losses = model.loss(padded, samples)
    total = sum(losses.values())
    total.backward()

    parameters = dict(model.named_parameters())
    names = official_names(parameters)
    norms = {name: one.grad.double().norm() for name, one in parameters.items() if one.grad is not None}
    missing = [names[name] for name, one in parameters.items() if one.requires_grad and one.grad is None]
    found = {f"losses/{name}": value for name, value in official_losses(losses, weighted=True).items()}
    found |= {f"grad_norms/{names[name]}": float(norm) for name, norm in norms.items()}
    return found | {
        "total_loss": np.array([total.item()]),
        "grad_norm_all": float(torch.stack(list(norms.values())).norm()),
        "trainable_parameters_without_gradient": missing,
    }


def postprocess(manifest: dict, state: dict, inputs: dict) -> dict:
    """The detections of given predictions."""
    given = tensors(inputs)
    head = RelationDETRHead(
        given["logits"].shape[-1], test_cfg=dict(max_per_img=manifest["config"]["select_box_nums_for_evaluation"])
    )
    metas = [dict(img_shape=tuple(size), scale_factor=(1.0, 1.0)) for size in given["sizes"].tolist()]
    detections = head.predict_by_feat(given["logits"][None], given["boxes"][None], metas, rescale=True)
    return {
        name: torch.stack([getattr(one, ours) for one in detections]).numpy()
        for name, ours in (("scores", "scores"), ("labels", "labels"), ("boxes", "bboxes"))
    }
