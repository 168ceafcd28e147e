"""Speed and memory beside a plain transcription of the official code, with the same weights.

Body and decoder with all heads; the masks of detections; targets and losses of masks and tokens; a whole training step
and a whole prediction of ViDT+. On the CPU: the transcription's masks and targets live there. And what fewer decoder
layers cost, beside what is reported of them.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from types import ModuleType

import mm_vidt  # noqa: F401  first: registers everything, and serves the operators that mmcv imports

# isort: split
import torch
import yaml
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_vidt.models.criterion import ViDTCriterion
from mm_vidt.models.dct_mask_coder import DCTMaskCoder
from mm_vidt.models.detections import best_pairs, of_queries, to_instances
from mm_vidt.models.mask_targets import mask_crops
from mm_vidt.models.predictions import Predictions
from mm_vidt.models.token_labels import token_label_losses, token_label_targets
from mm_vidt.models.vidt import padding_mask
from mmrepro.testing.bench import Table

Make = Callable[[], Callable[[], object]]
Size = tuple[int, int]
HERE = Path(__file__).resolve().parent
CLASSES, LEVELS, QUERIES, DETECTIONS, KEPT = 80, 7, 300, 100, 256
CHANNELS = CLASSES + 1  # of token labels: 0 is any object
OBJECTS = (10, 6)  # of the two images of a batch; 7 is COCO's mean
PICTURE: Size = (480, 640)
BATCH: tuple[Size, ...] = ((800, 1200), (800, 1200))
STEP: tuple[Size, ...] = ((320, 480), (320, 416))  # the second is padded
DEPTHS = (6, 5, 4, 3, 2)  # decoder layers
CALLS = 5  # of each depth
REPORTED = {6: "vidt-plus_swin-nano_300q_8xb2-150e_coco", 4: "vidt-plus_swin-nano_300q_dec4_8xb2-150e_coco"}
BODIES = {"Swin-tiny, 100 [DET] tokens": ("tiny", 100), "Swin-nano, 300 [DET] tokens": ("nano", QUERIES)}


def groups() -> dict[str, dict[str, dict[str, dict[str, Make]]]]:
    """Return all lines, ours beside the transcription."""
    picture, batch, step = ("x".join(map(str, size)) for size in (PICTURE, BATCH[0], STEP[0]))
    parts = {f"{name}, {picture}": {"forward": partial(body, *sizes)} for name, sizes in BODIES.items()} | {
        f"neck, decoder and heads of ViDT+, {QUERIES} queries, {picture}": {"detections": detections},
        f"masks of {DETECTIONS} detections": {"decoded": decoded_masks},
        f"mask targets of {LEVELS} levels, 2 images of {batch}": {"targets": mask_targets},
        f"token labels, 2 images of {batch}": {"losses and gradients": token_labels},
        f"all losses of {LEVELS} levels, 2 images of {batch}": {"losses and gradients": all_losses},
        "ViDT+ with Swin-nano and masks": {
            f"training step, 2 images of {step}": training_step,
            f"prediction, {picture}": prediction,
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
    """Return what fewer decoder layers cost."""
    return {"Decoding layer drop of ViDT+ with Swin-nano": layer_drop}


def layer_drop() -> Table:
    """Measure predictions with boxes and masks by the first layers of the decoder, each depth in turn."""
    found = yaml.safe_load((HERE.parent / "configs" / "vidt" / "metafile.yml").read_text(encoding="utf-8"))["Models"]
    reported = {one["Name"]: str(one["Results"][0]["Metrics"].get("AP", "-")) for one in found}
    models = {depth: build(vidt_plus(layers=depth)).eval() for depth in DEPTHS}
    images, samples = batch((PICTURE,))
    taken: dict[int, list[float]] = {depth: [] for depth in models}
    with torch.no_grad():
        for _ in range(CALLS + 1):  # the first is to warm up
            for depth, model in models.items():
                start = time.perf_counter()
                model.predict(images, samples)
                taken[depth].append(1e3 * (time.perf_counter() - start))
    rows = [
        [
            str(depth),
            f"{sum(parameter.numel() for parameter in models[depth].parameters()) / 1e6:.2f} million",
            f"{median(times[1:]):.0f}",
            reported[REPORTED[depth]] if depth in REPORTED else "-",
        ]
        for depth, times in taken.items()
    ]
    note = (
        f"Prediction of boxes and masks in one picture of {PICTURE[0]}x{PICTURE[1]}, random weights, CPU, medians of "
        f"{CALLS} calls in turn. AP: as the authors report it on COCO val2017 after 150 epochs, not measured here."
    )
    return Table(["decoder layers", "parameters", "ms", "reported AP"], rows, note)


def transcription(name: str) -> ModuleType:
    """Import a file of the transcription, which lies in no package."""
    spec = importlib.util.spec_from_file_location(f"mm_vidt_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ----------------------------------------------------------------------------------------------------------------------
# Parts of the network


def body(arch: str, tokens: int, *, ours: bool) -> Callable[[], list[Tensor]]:
    """Return the maps and [DET] tokens of one image."""
    network = build(body_settings(arch, tokens)).eval()
    images, (sample,) = batch((PICTURE,))
    mask = padding_mask(images, [sample])
    plain_body = transcription("plain_body").plain_body

    def call() -> list[Tensor]:
        with torch.no_grad():
            maps, det, *_ = (network if ours else partial(plain_body, network))(images, mask)
        return [*maps, det]

    return call


def detections(*, ours: bool) -> Callable[[], tuple[Tensor, ...]]:
    """Return the best detections of one image from what its body computed.

    That is scores, labels, boxes and coefficients of masks. All else that the plain side predicts is what the official
    code predicts in evaluation, too.
    """
    model = build(vidt_plus()).eval()
    images, samples = batch((PICTURE,))
    mask = padding_mask(images, samples)
    with torch.no_grad():
        of_body = model.backbone(images, mask)
    model.backbone.forward = lambda _images, _mask: of_body
    model.bbox_head.predict_by_feat = lambda *found: found[:4]
    plain = transcription("plain_decoder").plain_detector

    def call() -> tuple[Tensor, ...]:
        with torch.no_grad():
            if ours:
                return model.bbox_head.predict(model.forward_tokens(images, mask), samples)
            return best(plain(model, list(of_body.maps), of_body.det, mask))

    return call


def best(predicted: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return scores, labels, boxes and coefficients of the transcription's best detections."""
    scores, labels, queries = best_pairs(predicted["logits"][-1], DETECTIONS)
    return scores, labels, *(of_queries(predicted[name][-1], queries) for name in ("boxes", "vectors"))


# ----------------------------------------------------------------------------------------------------------------------
# Masks and losses


def decoded_masks(*, ours: bool) -> Callable[[], Tensor]:
    """Return the binary pictures of coefficients."""
    vectors = torch.randn(DETECTIONS, KEPT, generator=seeded()) * torch.linspace(8, 0.1, KEPT)
    coder, plain = DCTMaskCoder(), transcription("plain_official")

    def call() -> Tensor:
        return coder.binary(coder.decode(vectors)) if ours else plain.plain_decode(vectors)[1]

    return call


def mask_targets(*, ours: bool) -> Callable[[], Tensor]:
    """Return the coefficients of all objects of a batch; the plain side computes them for each level."""
    _, samples = batch(BATCH)
    targets, _ = plain_targets(samples, BATCH[0])
    masks, corners = ([one[name] for one in targets] for name in ("masks", "corners"))
    coder, plain = DCTMaskCoder(), transcription("plain_official")

    def call() -> Tensor:
        if ours:
            return coder.encode(mask_crops(masks, torch.cat(corners)))
        return [plain.plain_mask_targets(masks, corners) for _ in range(LEVELS)][-1]

    return call


def token_labels(*, ours: bool) -> Callable[[], tuple[Tensor, ...]]:
    """Return the losses of token labels and their gradients."""
    _, samples = batch(BATCH)
    targets, channels = plain_targets(samples, BATCH[0])
    masks, logits, boxes = [one["masks"] for one in targets], token_logits(BATCH[0]), float(sum(OBJECTS))
    sizes, plain = [tuple(one.shape[1:3]) for one in logits], transcription("plain_official")

    def call() -> tuple[Tensor, ...]:
        if ours:
            wanted = token_label_targets(masks, channels, sizes, CHANNELS)
            focal, dice = (one / boxes for one in token_label_losses(logits, wanted))
        else:
            focal, dice = plain.plain_token_losses(logits, masks, channels, boxes)
        return focal, dice, *torch.autograd.grad(focal + dice, logits)

    return call


def all_losses(*, ours: bool) -> Callable[[], tuple[dict[str, Tensor], tuple[Tensor, ...]]]:
    """Return the weighted losses of drawn predictions and their gradients."""
    _, samples = batch(BATCH)
    targets, channels = plain_targets(samples, BATCH[0])
    generator, shape = seeded(), (LEVELS, len(BATCH), QUERIES)
    drawn = {
        "logits": torch.randn(*shape, CLASSES, generator=generator) - 3,
        "boxes": torch.rand(*shape, 4, generator=generator) * 0.5 + 0.2,
        "vectors": torch.randn(*shape, KEPT, generator=generator),
        "ious": torch.randn(*shape, 1, generator=generator),
        "tokens": token_logits(BATCH[0]),
    }
    leaves = [*drawn["tokens"], *(drawn[name].requires_grad_() for name in ("logits", "boxes", "vectors", "ious"))]
    criterion, plain = ViDTCriterion(CLASSES), transcription("plain_official")
    instances, metas = [one.gt_instances for one in samples], [one.metainfo for one in samples]

    def call() -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        if ours:
            losses = criterion(Predictions(**drawn), instances, metas)
        else:
            losses = weighted(criterion, plain.plain_losses(drawn, targets, channels))
        return losses, torch.autograd.grad(sum(losses.values()), leaves)

    return call


def weighted(criterion: ViDTCriterion, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the transcription's losses with our weights."""
    weights = criterion.weights | dict.fromkeys(("loss_token_focal", "loss_token_dice"), criterion.token_weight)
    return {name: weights[name.split(".")[-1]] * loss for name, loss in losses.items()}


# ----------------------------------------------------------------------------------------------------------------------
# The whole model


def training_step(*, ours: bool) -> Callable[[], dict[str, Tensor]]:
    """Return the losses of a training step without its optimiser; gradients are the model's.

    Dropout is left out: it draws numbers, and both sides shall compute the same.
    """
    model = build(vidt_plus(dropout=0.0)).train()
    images, samples = batch(STEP)
    mask, (targets, channels) = padding_mask(images, samples), plain_targets(samples, images.shape[-2:])
    plain_body, plain_detector, plain_losses = whole_transcription()

    def step() -> dict[str, Tensor]:
        model.zero_grad()
        if ours:
            losses = model.loss(images, samples)
        else:
            predicted = plain_detector(model, *plain_body(model.backbone, images, mask), mask)
            losses = weighted(model.bbox_head.criterion, plain_losses(predicted, targets, channels))
        sum(losses.values()).backward()
        return losses

    return step


def prediction(*, ours: bool) -> Callable[[], InstanceData]:
    """Return the detections in one image: scores, labels, boxes and masks."""
    model = build(vidt_plus()).eval()
    images, samples = batch((PICTURE,))
    mask = padding_mask(images, samples)
    plain_body, plain_detector, _ = whole_transcription()
    plain = transcription("plain_official")

    def predict() -> InstanceData:
        with torch.no_grad():
            if ours:
                return model.predict(images, samples)[0].pred_instances
            predicted = plain_detector(model, *plain_body(model.backbone, images, mask), mask)
            scores, labels, boxes, (vectors,) = best(predicted)
            (found,) = to_instances(scores, labels, boxes, [PICTURE])
            found.masks = plain.plain_paste(plain.plain_decode(vectors)[1], found.bboxes, *PICTURE)
        return found

    return predict


def whole_transcription() -> tuple[Callable, Callable, Callable]:
    """Return the transcription of the body, of all behind it, and of the losses."""
    return (
        transcription("plain_body").plain_body,
        transcription("plain_decoder").plain_detector,
        transcription("plain_official").plain_losses,
    )


def body_settings(arch: str, tokens: int) -> dict:
    """Return the config of a body without stochastic depth, for it draws numbers."""
    return dict(type="ViDTSwinTransformer", arch=arch, num_det_tokens=tokens, drop_path_rate=0.0)


def vidt_plus(dropout: float = 0.1, layers: int | None = None) -> dict:
    """Return the config of ViDT+ with Swin-nano."""
    return dict(
        type="ViDT",
        backbone=body_settings("nano", QUERIES),
        neck=dict(type="EPFF", in_channels=[96, 192, 384, 256]),
        decoder=dict(num_layers=layers or LEVELS - 1, dropout=dropout),
        bbox_head=dict(type="ViDTHead", num_classes=CLASSES, iou_aware=True, with_vector=True, token_label=True),
    )


def build(settings: dict) -> nn.Module:
    """Build and initialise a network; layers that begin at zero, and so pass no gradient on, get small weights."""
    register_all_modules()
    torch.manual_seed(0)
    network = MODELS.build(settings)
    network.init_weights()
    for parameter in network.parameters():
        if parameter.dim() > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return network


# ----------------------------------------------------------------------------------------------------------------------
# Data


def seeded() -> torch.Generator:
    """Return what draws the same for both sides."""
    return torch.Generator().manual_seed(0)


def batch(sizes: Sequence[Size]) -> tuple[Tensor, list[DetDataSample]]:
    """Return random images of (height, width), padded, and samples with an ellipse in each of some random boxes."""
    generator = seeded()
    canvas = tuple(max(sides) for sides in zip(*sizes, strict=True))
    images, samples = torch.zeros(len(sizes), 3, *canvas), []
    for image, (height, width), count in zip(images, sizes, OBJECTS, strict=False):
        image[:, :height, :width] = torch.randn(3, height, width, generator=generator)
        sides = torch.tensor([width, height])
        spans = (torch.rand(count, 2, generator=generator) * 0.4 + 0.05) * sides
        starts = torch.rand(count, 2, generator=generator) * (sides - spans)
        x, y = (
            (torch.arange(side) + 0.5 - starts[:, axis, None]) / spans[:, axis, None] * 2 - 1
            for axis, side in enumerate((width, height))
        )
        ellipses = x[:, None] ** 2 + y[:, :, None] ** 2 < 1
        sample = DetDataSample(metainfo=dict(img_shape=(height, width), ori_shape=(height, width)))
        sample.set_metainfo(dict(batch_input_shape=canvas))
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([starts, starts + spans], 1),
            labels=torch.randint(CLASSES, (count,), generator=generator),
            masks=BitmapMasks(ellipses.to(torch.uint8).numpy(), height, width),
        )
        samples.append(sample)
    return images, samples


def plain_targets(samples: Sequence[DetDataSample], canvas: Size) -> tuple[list[dict[str, Tensor]], list[list[int]]]:
    """Return the objects of samples and their channels among token labels, as the transcription takes them."""
    targets, channels = [], []
    for sample in samples:
        objects, (height, width) = sample.gt_instances, sample.img_shape
        masks = objects.masks.pad(tuple(canvas)).to_tensor(torch.uint8, "cpu")
        boxes = bbox_xyxy_to_cxcywh(objects.bboxes / torch.tensor([width, height] * 2))
        targets.append(dict(labels=objects.labels, boxes=boxes, corners=objects.bboxes, masks=masks))
        channels.append((objects.labels + 1).tolist())
    return targets, channels


def token_logits(size: Size) -> list[Tensor]:
    """Return drawn logits of the token labels of a batch, coarsest level first."""
    generator = seeded()
    sizes = [[-(-side // stride) for side in size] for stride in (64, 32, 16, 8)]
    return [torch.randn(len(BATCH), *one, CHANNELS, generator=generator).requires_grad_() for one in sizes]
