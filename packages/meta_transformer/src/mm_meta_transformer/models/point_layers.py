"""Convolutions of kernel 1 over points and groups of points, each with its norm and activation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmrepro.ops.cpu_layers import affine


class ChannelsFirstLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of ``(B, C, ...)``."""

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(B, C, ...)``, normalised over ``C``."""
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


def point_layer(
    in_channels: int, out_channels: int, norm: str | None = "bn", act: bool = True, dims: int = 2
) -> nn.Sequential:
    """Return a convolution of kernel 1, then its norm, then ReLU; it has a bias only without a norm.

    Args:
        in_channels: channels that it reads.
        out_channels: channels that it makes.
        norm: ``"bn"`` (batch norm), ``"ln"`` (layer norm over the channels) or None.
        act: whether a ReLU follows.
        dims: 0 for ``(B, C)``, 1 for ``(B, C, N)``, 2 for ``(B, C, M, K)``.

    Raises:
        ValueError: the norm is none of these.
    """
    if norm not in ("bn", "ln", None):
        raise ValueError(f"norm={norm!r} is not known. Fix: 'bn', 'ln' or None")
    bias = norm is None
    if dims == 0:
        layers: list[nn.Module] = [nn.Linear(in_channels, out_channels, bias=bias)]
    else:
        layers = [(nn.Conv1d, nn.Conv2d)[dims - 1](in_channels, out_channels, 1, bias=bias)]
    if norm == "bn":
        layers.append((nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[dims](out_channels))
    elif norm == "ln":
        layers.append(ChannelsFirstLayerNorm(out_channels))
    if act:
        layers.append(nn.ReLU(inplace=norm is not None))  # no norm needs its own output again; a product may
    return nn.Sequential(*layers)


def pooled_groups(groups: Tensor, first: nn.Sequential, second: nn.Sequential) -> Tensor:
    """Return one feature for each group: two layers, the maximum appended to each point, two layers, the maximum.

    Channels stay the last axis, so that each convolution is one product of matrices. The half of the second part's
    first convolution that reads the maximum is computed once for each group instead of once for each of its points.

    Args:
        groups: ``(B, M, K, C)``: K points in each of M groups.
        first: two of :func:`point_layer`, which make E channels.
        second: two of them, the first of which reads 2 E channels.

    Returns:
        ``(B, M, channels)``.
    """
    features = behind(first[0], product(first[0], groups))
    features = behind(first[1], product(first[1], features))
    of_maximum, of_points = second[0][0].weight.flatten(1).split(features.shape[-1], 1)
    shared = affine(features.amax(2, keepdim=True), of_maximum.contiguous())
    features = behind(second[0], affine(features, of_points.contiguous(), second[0][0].bias) + shared)
    return behind(second[1], product(second[1], features)).amax(2)


def product(layer: nn.Sequential, features: Tensor) -> Tensor:
    """Return what the convolution of a :func:`point_layer` makes of ``(B, ..., C)``, channels last on both sides."""
    return affine(features, layer[0].weight.flatten(1), layer[0].bias)


def behind(layer: nn.Sequential, features: Tensor) -> Tensor:
    """Return what norm and activation of a :func:`point_layer` make of ``(B, ..., C)``, channels last."""
    for part in layer[1:]:
        features = part(features) if isinstance(part, nn.ReLU) else part(features.movedim(-1, 1)).movedim(1, -1)
    return features


def global_features(features: Tensor, kinds: tuple[str, ...], class_token: Tensor | None = None) -> Tensor:
    """Return what the ``kinds`` of summary of a cloud are, side by side.

    Args:
        features: ``(B, C, N)``, the features of its points.
        kinds: of ``"cls"``, ``"max"`` and ``"avg"``, in the order of the result.
        class_token: ``(B, C)``; needed for ``"cls"``.

    Returns:
        ``(B, len(kinds) * C)``.

    Raises:
        ValueError: a kind is not known.
    """
    parts = []
    for kind in kinds:
        if kind == "cls" and class_token is not None:
            parts.append(class_token)
        elif kind in ("max", "avg"):
            parts.append(features.amax(-1) if kind == "max" else features.mean(-1))
        else:
            raise ValueError(f"global feature {kind!r} is not known. Fix: of 'cls', 'max', 'avg'")
    return torch.cat(parts, 1)
