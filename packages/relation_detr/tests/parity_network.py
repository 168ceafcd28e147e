"""The stored cases of the networks: detectors, encoder with decoder, and what tokens and boxes are embedded in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import torch
from mmdet.models.detectors import DeformableDETR
from mmdet.models.layers import SinePositionalEncoding, coordinate_to_encoding
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mm_relation_detr.checkpoint import from_official, target, to_official
from mm_relation_detr.models import (  # noqa: F401  register
    dab_deformable_detr_pp,
    deformable_detr_pp,
    dino_pp,
    dn_deformable_detr_pp,
    focalnet,
    raw_convnext,
    raw_swin,
    relation_detr,
    relation_head,
)
from mm_relation_detr.models.decoder import RelationTransformerDecoder
from mm_relation_detr.models.encoder import RelationTransformerEncoder
from mm_relation_detr.models.relation_transformer import RelationTransformer
from mm_relation_detr.models.two_stage import top_tokens

DIVISOR = 32  # of the padded size
DETECTIONS = 300
NO_PROPOSAL = 1e30  # how a case stores infinity


def forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run a detector on images of different sizes: its maps, memory, proposals, relations, layers and scores."""
    model = detector(state).eval()
    images, samples = batch([inputs[name] for name in sorted(inputs)])
    with torch.inference_mode(), recorded(model) as found:
        maps = model.extract_feat(images)
        logits, boxes = model.bbox_head(**model.forward_transformer(maps, samples))
        found |= {f"neck_{level}": one for level, one in enumerate(maps)}
        found |= {"all_logits": logits, "all_boxes": boxes, "pred_logits": logits[-1], "pred_boxes": boxes[-1]}
        found |= proposals(model, maps, samples, found["memory"])
        if "relation_0" not in found:  # of the released Deformable-DETR++, which does not use it
            sources = [found["references"], *boxes[:-2]]
            for layer, (source, goal) in enumerate(zip(sources, boxes[:-1], strict=True)):
                found[f"relation_{layer}"] = model.decoder.position_relation_embedding(source, goal)
        found["det_scores"] = logits[-1].sigmoid().flatten(1).topk(DETECTIONS).values
    return {name: tensor.numpy() for name, tensor in found.items()}


def encoder_decoder(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run the encoder, and the decoder without a mask, with one, and without the relation; gradients of the second."""
    model = encoder_and_decoder(manifest["config"], tensors(state))
    given = tensors(inputs)
    shapes, mask = torch.tensor(manifest["given"]["spatial_shapes"]), given["padding_mask"]
    geometry = {
        "spatial_shapes": shapes,
        "level_start_index": torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]]),
        "valid_ratios": valid_ratios(level_masks(mask, shapes)),
    }
    memory = model.encoder(given["tokens"], given["token_pos"], mask, **geometry)
    heads, found = model.bbox_head, {"memory": memory}
    plain = ("plain", {"self_attn_mask": None})
    skip = ("skip", {"self_attn_mask": None, "skip_relation": True, "values": model.decoder.project(memory, mask)})
    masked = ("masked", {"self_attn_mask": given["attn_mask"]})
    for name, options in (masked, skip, plain):  # the relations that stay are those of the last
        with recorded(model) as seen:
            states, boxes = model.decoder(
                given["queries"],
                memory,
                mask,
                reference_points=given["boxes"],
                reg_branches=heads.reg_branches,
                **geometry,
                **options,
            )
        classes = torch.stack([head(one) for head, one in zip(heads.cls_branches, states, strict=True)])
        found |= {f"{name}_classes": classes, f"{name}_boxes": boxes}
        found |= {key: value for key, value in seen.items() if key.startswith("relation")}
    total = (found["masked_classes"] * given["cot_class"]).sum() + (found["masked_boxes"] * given["cot_box"]).sum()
    total.backward()
    gradients = to_official({name: parameter.grad for name, parameter in model.named_parameters()})
    norms = {f"grad_norms/{name}": float(gradient.norm()) for name, gradient in gradients.items()}
    return {name: tensor.detach().numpy() for name, tensor in found.items()} | norms


def embeddings(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Embed masks and boxes; find valid ratios, the encoder's reference points and the proposals of tokens."""
    config, weights, given = manifest["config"], from_official(tensors(state)), tensors(inputs)
    dims, features = config["embed_dim"], config["num_pos_feats"]
    shapes, mask = torch.tensor(manifest["given"]["spatial_shapes"]), given["padding_mask"]
    masks = level_masks(mask, shapes)
    encoding = SinePositionalEncoding(
        features, config["temperature"], config["normalize"], offset=config["offset"], eps=1e-6
    )
    positions = [encoding(one) for one in masks]
    level_pos = [
        one.flatten(2).transpose(1, 2) + level for one, level in zip(positions, weights["level_embed"], strict=True)
    ]
    ratios = valid_ratios(masks)
    reference = RelationTransformerEncoder.get_encoder_reference_points(shapes, ratios, mask.device)
    sides = torch.cat([torch.full((int(size), 2), 0.05 * 2.0**level) for level, size in enumerate(shapes.prod(1))])
    centres = reference[:, :, 0] / ratios[:, None, 0]
    stage = SimpleNamespace(memory_trans_fc=nn.Linear(dims, dims), memory_trans_norm=nn.LayerNorm(dims))
    for name, module in vars(stage).items():
        module.load_state_dict({key: weights[f"{name}.{key}"] for key in ("weight", "bias")})
    memory, anchors = DeformableDETR.gen_encoder_output_proposals(stage, given["memory"], mask, shapes)
    found = {
        "sine_level0": positions[0],
        "sine_boxes": coordinate_to_encoding(given["boxes"], features),
        "level_pos": torch.cat(level_pos, 1),
        "valid_ratios": ratios,
        "reference": reference,
        "proposals": torch.cat([centres, sides.expand(len(centres), -1, -1)], -1),
        "output_memory": memory,
        "output_proposals": anchors.masked_fill(anchors.isinf(), NO_PROPOSAL),
    }
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def detector(state: dict[str, np.ndarray]) -> RelationTransformer:
    """Build the detector of official weights, without drawing any before."""
    official = tensors(state)
    model = target(official)
    model.load_state_dict(from_official(official, model), assign=True)
    return model


def encoder_and_decoder(config: dict, official: dict[str, Tensor]) -> nn.Module:
    """Build the parts of a detector that a case has, from the official arguments and weights."""
    dims, heads, classes = config["embed_dim"], config["n_heads"], config["num_classes"]
    attention = dict(embed_dims=dims, num_heads=heads, num_levels=config["n_levels"], num_points=config["n_points"])
    ffn = dict(embed_dims=dims, feedforward_channels=config["d_ffn"])
    model = nn.Module()
    model.encoder = RelationTransformerEncoder(
        config["num_encoder_layers"], dict(self_attn_cfg=dict(attention), ffn_cfg=ffn)
    )
    layers = config["num_decoder_layers"]
    layer = dict(self_attn_cfg=dict(embed_dims=dims, num_heads=heads), cross_attn_cfg=dict(attention), ffn_cfg=ffn)
    model.decoder = RelationTransformerDecoder(layers, layer, position_relation={})
    model.bbox_head = nn.Module()
    model.bbox_head.cls_branches = nn.ModuleList(nn.Linear(dims, classes) for _ in range(layers))
    model.bbox_head.reg_branches = nn.ModuleList(
        nn.Sequential(nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, 4))
        for _ in range(layers)
    )
    model.load_state_dict(from_official(official, model))
    return model


@contextmanager
def recorded(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that fills with what the parts of a detector return, by the names of a case."""
    found: dict[str, Tensor] = {}

    def keep_relation(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        found[f"relation_{sum(name.startswith('relation') for name in found)}"] = output

    def keep(name: str):
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
            one = isinstance(output, Tensor)
            found.update({name: output} if one else {f"{name}_{level}": part for level, part in enumerate(output)})

        return hook

    def keep_references(_module: nn.Module, _inputs: tuple, arguments: dict) -> None:
        found["references"] = arguments["reference_points"]

    hooks = [
        model.encoder.register_forward_hook(keep("memory")),
        model.encoder.layers[0].register_forward_hook(keep("encoder_layer_0")),
        model.decoder.position_relation_embedding.register_forward_hook(keep_relation),
        model.decoder.register_forward_pre_hook(keep_references, with_kwargs=True),
    ]
    if hasattr(model, "backbone"):
        hooks.append(model.backbone.register_forward_hook(keep("backbone")))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def proposals(
    model: RelationTransformer, maps: Sequence[Tensor], samples: list[DetDataSample], memory: Tensor
) -> dict[str, Tensor]:
    """Return the outputs of the encoder's heads; a detector of one stage has none."""
    if not model.two_stage:
        return {}
    _, decoder_inputs = model.pre_transformer(maps, samples)
    mask, shapes = decoder_inputs["memory_mask"], decoder_inputs["spatial_shapes"]
    queries, _ = model.pre_decoder(memory, mask, shapes)
    logits = model.encoder_heads[0](model.gen_encoder_output_proposals(memory, mask, shapes)[0])
    binary = isinstance(model, deformable_detr_pp.DeformableDETRPP)
    scores = logits[..., 0] if binary else logits.max(-1).values
    return {
        "enc_class": queries.enc_outputs_class,
        "enc_coord": queries.enc_outputs_coord,
        "encoder_scores": scores,
        "topk_index": top_tokens(scores, model.num_queries),
    }


def batch(images: Sequence[np.ndarray]) -> tuple[Tensor, list[DetDataSample]]:
    """Pad images at the bottom and the right to a common size, and say what size each has."""
    height, width = (-(-max(image.shape[axis] for image in images) // DIVISOR) * DIVISOR for axis in (1, 2))
    padded = torch.zeros(len(images), 3, height, width)
    samples = []
    for place, image in zip(padded, images, strict=True):
        shape = image.shape[1:]
        place[:, : shape[0], : shape[1]] = torch.from_numpy(image)
        samples.append(DetDataSample(metainfo={"img_shape": shape, "batch_input_shape": (height, width)}))
    return padded, samples


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return arrays as tensors."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def level_masks(mask: Tensor, shapes: Tensor) -> list[Tensor]:
    """Split a mask of tokens into maps, ``(B, S)`` to ``(B, H, W)`` for each level."""
    sizes = shapes.tolist()
    parts = mask.split([height * width for height, width in sizes], 1)
    return [part.unflatten(1, size) for part, size in zip(parts, sizes, strict=True)]


def valid_ratios(masks: Sequence[Tensor]) -> Tensor:
    """Return the parts of each level that no padding covers, ``(B, L, 2)`` as (w, h)."""
    return torch.stack([RelationTransformer.get_valid_ratio(one) for one in masks], 1)
