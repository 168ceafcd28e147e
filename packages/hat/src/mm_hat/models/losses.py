"""Losses of HAT and Real-HAT-GAN (arXiv 2205.04437, section 3.4; arXiv 2309.05239, section 4.4).

The perceptual and the adversarial loss are those of Real-ESRGAN, which the paper takes over. Official code:
XPixelGroup/BasicSR @ 8d56e3a, basicsr/losses (Apache-2.0). Ours keeps the frozen VGG out of the model's state dict: a
checkpoint is 80 MB smaller and loads whether or not the losses are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

VGG19_WIDTHS = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512)
REAL_ESRGAN_WEIGHTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@MODELS.register_module()
class RestorationL1Loss(nn.Module):
    """Mean absolute error over all elements, of the output as it is (not clamped).

    Args:
        loss_weight: factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare two batches (B, C, H, W).

        Raises:
            ValueError: their shapes differ; ``l1_loss`` alone would broadcast.
        """
        if pred.shape != target.shape:
            raise ValueError(
                f"the output has shape {tuple(pred.shape)}, the ground truth {tuple(target.shape)}: "
                "do the data set's scale and the network's upscale agree?"
            )
        return self.loss_weight * F.l1_loss(pred, target)


@MODELS.register_module()
class RestorationGANLoss(nn.Module):
    """Binary cross entropy between the discriminator's logits, one for each pixel, and "real" or "fake".

    Args:
        loss_weight: factor of the generator's loss; the discriminator's own losses are not weighted.
        real_label_val, fake_label_val: the targets.
    """

    def __init__(self, loss_weight: float = 0.1, real_label_val: float = 1.0, fake_label_val: float = 0.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.real_label_val = real_label_val
        self.fake_label_val = fake_label_val

    def forward(self, logits: Tensor, target_is_real: bool, is_disc: bool = False) -> Tensor:
        """Return the loss of logits of any shape.

        Args:
            logits: what the discriminator says.
            target_is_real: what it should say, or what the generator wants it to say.
            is_disc: whether this is the discriminator's loss.
        """
        label = self.real_label_val if target_is_real else self.fake_label_val
        loss = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
        return loss if is_disc else self.loss_weight * loss


class FrozenConv2d(nn.Module):
    """A 3x3 convolution whose weights are constants: moved with the model, but neither trained nor saved.

    Args:
        in_channels, out_channels: widths.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(out_channels, in_channels, 3, 3), persistent=False)
        self.register_buffer("bias", torch.zeros(out_channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W) with a zero border of one pixel."""
        return F.conv2d(x, self.weight, self.bias, padding=1)


class VGG19Features(nn.Module):
    """VGG19 (arXiv 1409.1556) up to the deepest layer that is asked for; features are those before the ReLU.

    Args:
        layers: names ``convA_B``, block A, convolution B.

    Raises:
        ValueError: a layer that VGG19 does not have.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        known = _convolution_names()
        unknown = sorted(set(layers) - set(known))
        if unknown or not layers:
            raise ValueError(f"layers of VGG19 {unknown or 'are missing'}; there are {', '.join(known)}")
        self.layers = tuple(layers)
        deepest = max(known.index(name) for name in layers)
        widths = [width for width in VGG19_WIDTHS if width != "M"]
        self.convs = nn.ModuleDict(
            {name: FrozenConv2d(([3, *widths])[i], widths[i]) for i, name in enumerate(known[: deepest + 1])}
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def load(self, state: Mapping[str, Tensor], source: str) -> None:
        """Take the weights of a state dict: torchvision's (``features.0.weight``) or ours (``conv1_1.weight``).

        Args:
            state: the weights; those of deeper layers and of the classifier are not needed.
            source: where they come from, for the error.

        Raises:
            ValueError: a weight is missing or has another shape.
        """
        index = _torchvision_indices()
        with torch.no_grad():
            for name, conv in self.convs.items():
                for leaf, own in conv.named_buffers():
                    given = state.get(f"{name}.{leaf}", state.get(f"features.{index[name]}.{leaf}"))
                    if given is None or given.shape != own.shape:
                        shape = "nothing" if given is None else f"shape {tuple(given.shape)}"
                        raise ValueError(
                            f"{source}: {name}.{leaf} (features.{index[name]}.{leaf}) of VGG19 should have shape "
                            f"{tuple(own.shape)}, found {shape}"
                        )
                    own.copy_(given)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return features by layer of RGB images (B, 3, H, W) in [0, 1]; values outside are not clamped.

        Raises:
            ValueError: not three channels, or sides too short for the poolings on the way.
        """
        halvings = max(int(name[4]) for name in self.layers) - 1
        if image.shape[1] != 3 or min(image.shape[-2:]) < 2**halvings:
            raise ValueError(
                f"the perceptual loss takes RGB images of at least {2**halvings} px, got shape {tuple(image.shape)}"
            )
        x, features = (image - self.mean) / self.std, {}
        for i, (name, conv) in enumerate(self.convs.items()):
            if i and name.endswith("_1"):
                x = F.max_pool2d(x, 2)
            x = conv(x)
            if name in self.layers:
                features[name] = x
            x = F.relu(x)
        return features


@MODELS.register_module()
class RestorationPerceptualLoss(nn.Module):
    """Weighted mean absolute differences between VGG19 features of the output and of the ground truth.

    Args:
        layer_weights: weight of each layer; None for those of Real-ESRGAN and Real-HAT-GAN.
        perceptual_weight: factor of the whole loss.
        pretrained: where VGG19's ImageNet weights are: a file or an address that mmengine's loader knows, read at first
            use, so that a model can be built where there is no network. None leaves zeros, for tests and for weights
            loaded afterwards (``loss.vgg.load``).

    Raises:
        ValueError: an unknown layer; at first use, weights that are not VGG19's.
    """

    def __init__(
        self,
        layer_weights: Mapping[str, float] | None = None,
        perceptual_weight: float = 1.0,
        pretrained: str | None = "torchvision://vgg19",
    ) -> None:
        super().__init__()
        self.layer_weights = dict(layer_weights or REAL_ESRGAN_WEIGHTS)
        self.perceptual_weight = perceptual_weight
        self.vgg = VGG19Features(tuple(self.layer_weights))
        self._unread = pretrained

    def by_layer(self, pred: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each layer's mean absolute difference, not weighted."""
        if self._unread is not None:
            state = CheckpointLoader.load_checkpoint(self._unread, map_location="cpu")
            self.vgg.load(state.get("state_dict", state), self._unread)
            self._unread = None
        with torch.no_grad():
            wanted = self.vgg(target)
        return {name: F.l1_loss(feature, wanted[name]) for name, feature in self.vgg(pred).items()}

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare RGB batches (B, 3, H, W) in [0, 1]; no gradient reaches the target."""
        differences = self.by_layer(pred, target)
        return self.perceptual_weight * sum(weight * differences[name] for name, weight in self.layer_weights.items())


def _convolution_names() -> list[str]:
    """Return ``conv1_1`` to ``conv5_4`` in order."""
    names, block, place = [], 1, 0
    for width in VGG19_WIDTHS:
        if width == "M":
            block, place = block + 1, 0
        else:
            place += 1
            names.append(f"conv{block}_{place}")
    return names


def _torchvision_indices() -> dict[str, int]:
    """Return where each convolution stands in torchvision's ``features``: after it comes a ReLU, a pooling is one."""
    indices, i, names = {}, 0, iter(_convolution_names())
    for width in VGG19_WIDTHS:
        if width == "M":
            i += 1
        else:
            indices[next(names)] = i
            i += 2
    return indices
