"""Speed and memory beside a plain transcription of the official network, with the same weights.

One KITTI image through the published model, ViT-B with boxes for queries: the frozen trunk, the depth head, encoder and
decoder, a whole prediction; matching and losses; and a training step. On the CPU: the official deformable attention is
a CUDA operator, of which the transcription has the PyTorch version.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import mm_monodino_detr  # noqa: F401  first: registers everything, and serves the operators that mmcv imports

# isort: split
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_monodino_detr.models.criterion import MonoDETRCriterion
from mm_monodino_detr.models.decoded_queries import collect_cameras
from mm_monodino_detr.models.decoding import best_pairs, decode
from mm_monodino_detr.models.group_matching import collect_targets
from mm_monodino_detr.models.monodino_detr import Features, fit_to_patches
from mm_monodino_detr.models.predictions import Predictions
from mmrepro.testing.bench import Table

Make = Callable[[], Callable[[], object]]
Cameras = tuple[Tensor, Tensor]
HERE = Path(__file__).resolve().parent
PICTURE = (384, 1280)
TAKEN = (375, 1242)  # how large KITTI's pictures are before they are resized
CAMERA = [[721.5377, 0.0, 609.5593, 44.85728], [0.0, 721.5377, 172.854, 0.2163791], [0.0, 0.0, 1.0, 0.002745884]]
CLASSES, LAYERS, QUERIES, GROUPS, BINS = 4, 3, 50, 11, 80
SIDE, TOKENS = 518, 28_749  # of the square input, and of three maps of 4, 2 and 1 times its grid of patches
LOSS_IMAGES, OBJECTS = 8, 6  # a published batch, and objects of an image
PARTS = ("logits", "boxes", "dims", "depths", "angles", "depth_map_logits", "weighted_depth")


def groups() -> dict[str, dict[str, dict[str, dict[str, Make]]]]:
    """Return all lines, ours beside the transcription."""
    picture = "x".join(map(str, PICTURE))
    parts = {
        f"MonoDINO-DETR, ViT-B, 1x3x{picture}": {
            "prediction": prediction,
            "prediction, frozen parts in bfloat16": partial(prediction, bf16=True),
            "training step": training_step,
        },
        f"ViT-B and depth head, {SIDE}x{SIDE}": {"frozen forward": trunk},
        f"depth head, {SIDE}x{SIDE}": {"frozen forward": depth_head},
        f"encoder of {LAYERS} layers, {TOKENS:,} tokens": {"forward": encoder},
        f"decoder of {LAYERS} layers and heads, {QUERIES} queries": {"forward": decoder},
        f"all losses of {LAYERS} layers, {LOSS_IMAGES} images, {QUERIES * GROUPS} queries": {
            "matching": matching,
            "losses and gradients": all_losses,
        },
    }
    return {
        "CPU: ours beside a plain transcription": {
            what: {
                direction: {"ours": partial(make, ours=True), "plain": partial(make, ours=False)}
                for direction, make in directions.items()
            }
            for what, directions in parts.items()
        }
    }


def tables() -> dict[str, Callable[[], Table]]:
    """Return the time of the metric, whose official version needs CUDA and numba."""
    return {"KITTI's average precision": transcription("kitti_crowds").measure}


def transcription(name: str) -> ModuleType:
    """Import a file beside this one, which lies in no package."""
    spec = importlib.util.spec_from_file_location(f"mm_monodino_detr_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ----------------------------------------------------------------------------------------------------------------------
# The whole model


def prediction(*, ours: bool, bf16: bool = False) -> Callable[[], list[Tensor]]:
    """Return the 3D boxes in one image: labels, scores, 2D boxes, 3D boxes and angles of observation.

    Args:
        ours: which side.
        bf16: compute our frozen parts in bfloat16; the plain side has no such option.
    """
    model = build(detector(bf16=bf16 and ours)).eval()
    images, samples = batch(1)
    cameras, network = cameras_of(samples), plain_network()

    def predict() -> list[Tensor]:
        with torch.no_grad():
            if ours:
                found = model.predict(images, samples)[0].pred_instances
            else:
                chosen = best_pairs(Predictions(**network(model, images, cameras)), QUERIES)
                (found,) = decode(chosen, *cameras, score_thr=0.0)
        return [found[name] for name in ("labels", "scores", "bboxes", "bboxes_3d", "alphas")]

    return predict


def training_step(*, ours: bool) -> Callable[[], dict[str, Tensor]]:
    """Return the losses of a training step without its optimiser; gradients are the model's.

    Dropout is left out: it draws numbers, and both sides shall compute the same.
    """
    model = build(detector(dropout=0.0)).train()
    images, samples = batch(1)
    cameras, targets = cameras_of(samples), targets_of(samples)
    network, plain = plain_network(), transcription("plain_mono3d_losses")

    def step() -> dict[str, Tensor]:
        model.zero_grad()
        if ours:
            losses = model.loss(images, samples)
        else:
            losses = plain.plain_losses(network(model, images, cameras), targets, GROUPS, bins_of(model))
        sum(losses.values()).backward()
        return {name: loss.detach() for name, loss in losses.items()}

    return step


def plain_network() -> Callable[[nn.Module, Tensor, Cameras], dict[str, Tensor]]:
    """Return the transcription of the whole network."""
    body, behind = transcription("plain_mono3d_body"), transcription("plain_mono3d_network")

    def network(model: nn.Module, images: Tensor, cameras: Cameras) -> dict[str, Tensor]:
        tokens, grid = body.plain_vit(model.backbone, body.plain_input(images, model.target_size))
        relative = body.plain_depth(model.depth_head, tokens, grid)
        return behind.plain_detector(model, body.plain_fusion(model.neck, tokens, grid), relative, cameras)

    return network


# ----------------------------------------------------------------------------------------------------------------------
# Parts of the network


def trunk(*, ours: bool) -> Callable[[], list[Tensor]]:
    """Return the four token maps, and the relative depth on the grid of patches."""
    model, plain = build(detector()).eval(), transcription("plain_mono3d_body")
    images = fit_to_patches(batch(1)[0], model.target_size)

    def call() -> list[Tensor]:
        with torch.no_grad():
            tokens, grid = model.backbone(images) if ours else plain.plain_vit(model.backbone, images)
            return [*tokens, depth_on_grid(model, tokens, grid, plain, ours=ours)]

    return call


def depth_head(*, ours: bool) -> Callable[[], Tensor]:
    """Return the relative depth on the grid of patches, from drawn tokens."""
    model, plain = build(detector()).eval(), transcription("plain_mono3d_body")
    grid = tuple(side // 14 for side in model.target_size)
    tokens = [drawn(1, grid[0] * grid[1], model.backbone.embed_dims, seed=seed) for seed in range(4)]

    def call() -> Tensor:
        with torch.no_grad():
            return depth_on_grid(model, tokens, grid, plain, ours=ours)

    return call


def depth_on_grid(
    model: nn.Module, tokens: Sequence[Tensor], grid: tuple[int, int], plain: ModuleType, *, ours: bool
) -> Tensor:
    """Return the relative depth as the depth predictor takes it."""
    if ours:
        return model.depth_head.sampled(tokens, grid)
    depth = plain.plain_depth(model.depth_head, tokens, grid)
    return nn.functional.interpolate(depth, grid, mode="bilinear", align_corners=False)


def encoder(*, ours: bool) -> Callable[[], Tensor]:
    """Return the memory of drawn maps; the plain side makes its tables anew."""
    model, plain = build(detector()).eval(), transcription("plain_mono3d_network")
    maps = fused_maps(model)
    levels = model._level_tables(maps)  # kept from the image before, as the detector does

    def call() -> Tensor:
        with torch.no_grad():
            if ours:
                return model.encoder(maps, levels).tokens
            masks = [torch.zeros(1, *one.shape[-2:], dtype=torch.bool) for one in maps]
            positions = [plain.plain_sine(mask, one.shape[1] // 2) for mask, one in zip(masks, maps, strict=True)]
            return plain.plain_encoder(model.encoder, maps, positions, masks)[0]

    return call


def decoder(*, ours: bool) -> Callable[[], list[Tensor]]:
    """Return the last layer's predictions, with drawn maps for memory and drawn depth; both depth predictors run."""
    model, plain = build(detector()).eval(), transcription("plain_mono3d_network")
    maps = fused_maps(model)
    relative = drawn(1, 1, *maps[-1].shape[-2:]).abs()
    samples = batch(1)[1]
    cameras, levels = cameras_of(samples), model._level_tables(maps)
    with torch.no_grad():
        memory = model.encoder(maps, levels)
        masks = [torch.zeros(1, *one.shape[-2:], dtype=torch.bool) for one in maps]
        encoded = plain.plain_encoder(model.encoder, maps, levels.positions, masks)
    model.encoder.forward = lambda _maps, _levels: memory
    plain.plain_encoder = lambda *_: encoded

    def call() -> list[Tensor]:
        with torch.no_grad():
            if ours:
                decoded = model.decode(Features(tuple(maps), levels, relative))
                last = decoded._replace(hidden=decoded.hidden[-1:], boxes=decoded.boxes[-1:])
                found = vars(model.bbox_head(last, collect_cameras([samples[0].metainfo], relative)))
            else:
                found = plain.plain_detector(model, list(maps), relative, cameras)
        return [found[name][-1] for name in PARTS]

    return call


def fused_maps(model: nn.Module) -> list[Tensor]:
    """Return drawn maps of the sizes that the fusion block gives."""
    height, width = (side // 14 for side in model.target_size)
    return [
        drawn(1, model.encoder.embed_dims, scale * height, scale * width, seed=seed)
        for seed, scale in enumerate((4, 2, 1))
    ]


# ----------------------------------------------------------------------------------------------------------------------
# Matching and losses


def matching(*, ours: bool) -> Callable[[], list[Tensor]]:
    """Return which queries each layer gives the objects, image by image, and which objects."""
    predictions, samples = losses_input()
    criterion, plain = MonoDETRCriterion(CLASSES, GROUPS, BINS), transcription("plain_mono3d_losses")
    targets = targets_of(samples)
    wanted = collect_targets([sample.gt_instances for sample in samples])

    def call() -> list[Tensor]:
        if ours:
            pairs = criterion.assigner.match(predictions, wanted, GROUPS)
            return [pairs.queries, pairs.targets]
        found = [
            plain.plain_match(logits, boxes, targets, GROUPS)
            for logits, boxes in zip(predictions.logits, predictions.boxes, strict=True)
        ]
        starts = torch.tensor([0, *wanted.counts[:-1]]).cumsum(0)
        return [
            torch.stack([torch.cat([queries for queries, _ in layer]) for layer in found]),
            torch.stack([torch.cat([o + s for (_, o), s in zip(layer, starts, strict=True)]) for layer in found]),
        ]

    return call


def all_losses(*, ours: bool) -> Callable[[], tuple[dict[str, Tensor], tuple[Tensor, ...]]]:
    """Return the weighted losses of drawn predictions and their gradients."""
    predictions, samples = losses_input()
    criterion, plain = MonoDETRCriterion(CLASSES, GROUPS, BINS), transcription("plain_mono3d_losses")
    targets, of_images = targets_of(samples), [sample.gt_instances for sample in samples]
    metas, drawn_values = [sample.metainfo for sample in samples], vars(predictions)
    leaves = [drawn_values[name].requires_grad_() for name in PARTS[:-1]]

    def call() -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        if ours:
            losses = criterion(predictions, of_images, metas)
        else:
            losses = plain.plain_losses(drawn_values, targets, GROUPS, (BINS, 1e-3, 60.0))
        return losses, torch.autograd.grad(sum(losses.values()), leaves)

    return call


def losses_input() -> tuple[Predictions, list[DetDataSample]]:
    """Return drawn predictions and the objects of a batch."""
    shape = (LAYERS, LOSS_IMAGES, QUERIES * GROUPS)
    boxes = torch.cat([drawn(*shape, 2, seed=1).sigmoid(), drawn(*shape, 4, seed=2).sigmoid() * 0.2 + 0.02], -1)
    side = SIDE // 14
    predictions = Predictions(
        logits=drawn(*shape, CLASSES) - 3,
        boxes=boxes,
        dims=drawn(*shape, 3, seed=3) * 0.2 + 2,
        depths=torch.stack([drawn(*shape, seed=4).abs() * 20 + 5, drawn(*shape, seed=5)], -1),
        angles=drawn(*shape, 24, seed=6),
        depth_map_logits=drawn(LOSS_IMAGES, BINS + 1, side, side, seed=7),
        weighted_depth=drawn(LOSS_IMAGES, side, side, seed=8).abs() * 20,
    )
    return predictions, batch(LOSS_IMAGES)[1]


# ----------------------------------------------------------------------------------------------------------------------
# Models and data


def detector(dropout: float = 0.1, bf16: bool = False) -> dict:
    """Return the published model: ViT-B, boxes for queries."""
    return dict(
        type="MonoDINODETR",
        backbone=dict(type="DINOv2ViT", arch="base", img_size=SIDE, bf16=bf16),
        depth_head=dict(type="DPTDepthHead", arch="base", bf16=bf16),
        neck=dict(type="HierarchicalFeatureFusion"),
        depth_predictor=dict(type="DepthPredictor", num_depth_bins=BINS, dropout=dropout),
        encoder=dict(num_layers=LAYERS, dropout=dropout),
        decoder=dict(num_layers=LAYERS, dropout=dropout),
        bbox_head=dict(type="MonoDETRHead", num_classes=CLASSES, test_cfg=dict(max_per_img=QUERIES, score_thr=0.0)),
        num_queries=QUERIES,
        group_num=GROUPS,
        target_size=SIDE,
    )


def build(settings: dict) -> nn.Module:
    """Build and initialise a detector; layers that begin at zero, and so pass no gradient on, get small weights."""
    register_all_modules()
    torch.manual_seed(0)
    model = MODELS.build(settings)
    model.init_weights()
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model


def bins_of(model: nn.Module) -> tuple[int, float, float]:
    """Return the depth bins of a model."""
    predictor = model.depth_predictor
    return predictor.num_depth_bins, predictor.depth_min, predictor.depth_max


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return numbers that are the same for both sides."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch(images: int) -> tuple[Tensor, list[DetDataSample]]:
    """Return random images, and samples with a camera and random objects."""
    random = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random)

    samples = []
    for _ in range(images):
        sample = DetDataSample(metainfo=dict(cam2img=CAMERA, ori_shape=TAKEN, img_shape=PICTURE))
        centres, sides = 0.2 + 0.6 * uniform(OBJECTS, 2), 0.02 + 0.1 * uniform(OBJECTS, 4)
        left, right, top, bottom = sides.unbind(1)
        middles = centres + torch.stack([right - left, bottom - top], 1) / 2
        sample.gt_instances = InstanceData(
            labels=torch.randint(CLASSES - 1, (OBJECTS,), generator=random),
            boxes=torch.cat([middles, torch.stack([left + right, top + bottom], 1)], 1),
            boxes_3d=torch.cat([centres, sides], 1),
            depth=5 + 50 * uniform(OBJECTS),
            size_3d=1 + 3 * uniform(OBJECTS, 3),
            heading_bin=torch.randint(12, (OBJECTS,), generator=random),
            heading_res=0.5 * uniform(OBJECTS) - 0.25,
        )
        samples.append(sample)
    return drawn(images, 3, *PICTURE), samples


def cameras_of(samples: Sequence[DetDataSample]) -> Cameras:
    """Return projections ``(B, 3, 4)`` and sizes (W, H) ``(B, 2)`` of the original images."""
    sizes = [sample.ori_shape[::-1] for sample in samples]
    return torch.tensor([sample.cam2img for sample in samples]), torch.tensor(sizes, dtype=torch.float32)


def targets_of(samples: Sequence[DetDataSample]) -> list[dict[str, Tensor]]:
    """Return the objects as the transcription takes them."""
    return [dict(sample.gt_instances.items()) for sample in samples]
