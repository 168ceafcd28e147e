"""Real-HAT-GAN: HAT trained against a discriminator, for pictures as they are (arXiv 2309.05239, section 4.4).

Official code: XPixelGroup/HAT @ 1638a9a, hat/models/realhatgan_model.py (optimize_parameters), Apache-2.0; losses and
order of the steps are Real-ESRGAN's. Ours leaves the generator's step out by the same rule (``disc_steps``,
``disc_init_steps``), and keeps a resumed run's count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.logging import MessageHub
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_hat.models.restorer import ImageRestorer, Samples, target
from mm_hat.optim_wrappers import MultiOptimWrapperConstructor


@MODELS.register_module()
class RealHATGAN(ImageRestorer):
    """A restorer whose generator also learns from a discriminator; trained with two optimizers.

    The generator is compared with the sharpened ground truth ``gt_usm`` where the samples have one; the discriminator's
    real pictures are the unsharpened ``gt_img``.

    Args:
        generator: registry config of the network.
        discriminator: registry config; gives logits of any shape for (B, 3, H, W).
        pixel_loss, perceptual_loss, gan_loss: registry configs; None leaves the first two out.
        train_cfg: ``disc_steps``: the generator learns in every so many iterations (1); ``disc_init_steps``: and not in
            the first so many (0).
        test_cfg, data_preprocessor, init_cfg: as in :class:`ImageRestorer`.

    Raises:
        ValueError: an unknown setting, or one out of range.
    """

    TRAIN_SETTINGS = ("disc_steps", "disc_init_steps")

    def __init__(
        self,
        generator: dict,
        discriminator: dict | None = None,
        pixel_loss: dict | None = None,
        perceptual_loss: dict | None = None,
        gan_loss: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(generator, pixel_loss, train_cfg, test_cfg, data_preprocessor, init_cfg)
        self.disc_steps = _count(self.train_cfg, "disc_steps", default=1, least=1)
        self.disc_init_steps = _count(self.train_cfg, "disc_init_steps", default=0, least=0)
        self.discriminator = MODELS.build(discriminator) if discriminator is not None else None
        self.perceptual_loss = MODELS.build(perceptual_loss) if perceptual_loss is not None else None
        self.gan_loss = MODELS.build(gan_loss or {"type": "RestorationGANLoss"})

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """Update the generator, then the discriminator, with one batch.

        Args:
            data: a batch of the data loader.
            optim_wrapper: with the entries ``generator`` and ``discriminator``.

        Returns:
            The losses, and the discriminator's mean logits of real and of fake pictures, for the log.
        """
        generator, discriminator = _wrapper(optim_wrapper, "generator"), _wrapper(optim_wrapper, "discriminator")
        is_generators_turn = self._is_generators_turn()
        with generator.optim_context(self.generator):
            data = self.data_preprocessor(data, True)
            inputs, samples = data["inputs"], data["data_samples"]
            with torch.set_grad_enabled(is_generators_turn):
                output = self.generator(inputs)
            if is_generators_turn:
                with _frozen(self.discriminator):
                    losses = self._generator_losses(output, samples)
        log: dict[str, Tensor] = {}
        if is_generators_turn:
            total, log = self.parse_losses(losses)
            generator.update_params(total)
        return dict(log) | self._discriminator_step(discriminator, target(samples, "gt_img"), output.detach())

    def loss(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        """Return the generator's losses ``loss_pix``, ``loss_perceptual``, ``loss_gan`` of a batch."""
        return self._generator_losses(self.generator(inputs), data_samples)

    def _generator_losses(self, output: Tensor, samples: Samples) -> dict[str, Tensor]:
        if self.discriminator is None:
            raise ValueError("the model has no discriminator: set it in the config to train")
        sharp = target(samples, "gt_usm" if _has(samples, "gt_usm") else "gt_img")
        losses = {}
        if self.pixel_loss is not None:
            losses["loss_pix"] = self.pixel_loss(output, sharp)
        if self.perceptual_loss is not None:
            losses["loss_perceptual"] = self.perceptual_loss(output, sharp)
        # Not through a distributed wrapper: it would wait for gradients that frozen weights never get.
        losses["loss_gan"] = self.gan_loss(_bare(self.discriminator)(output), True)
        return losses

    def _discriminator_step(self, wrapper: OptimWrapper, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Add up the gradients of both losses, one forward and backward pass after the other, then step.

        Spectral normalisation makes a power iteration in each pass, so the fake pictures meet another weight than the
        real ones: the order is part of the recipe.
        """
        log = {}
        for name, pictures, is_real in (("real", real, True), ("fake", fake, False)):
            with wrapper.optim_context(self.discriminator):
                logits = self.discriminator(pictures)
                loss = self.gan_loss(logits, is_real, is_disc=True)
            wrapper.backward(loss)
            log |= {f"loss_d_{name}": loss.detach(), f"d_{name}": logits.detach().mean()}
        wrapper.step()
        wrapper.zero_grad()  # now, not before the next step: a checkpoint would keep the gradients
        return log

    def _is_generators_turn(self) -> bool:
        iteration = MessageHub.get_current_instance().get_info("iter", 0) + 1
        return iteration % self.disc_steps == 0 and iteration > self.disc_init_steps


def _count(train_cfg: Mapping, name: str, default: int, least: int) -> int:
    value = train_cfg.get(name, default)
    if not isinstance(value, int) or value < least:
        raise ValueError(f"train_cfg: {name}={value!r}, expected a number of iterations, at least {least}")
    return value


def _wrapper(optim_wrapper: OptimWrapperDict, name: str) -> OptimWrapper:
    if not isinstance(optim_wrapper, OptimWrapperDict) or name not in optim_wrapper:
        constructor = MultiOptimWrapperConstructor.__name__
        raise TypeError(
            f"RealHATGAN trains with two optimizers: optim_wrapper=dict(constructor={constructor!r}, "
            "generator=dict(...), discriminator=dict(...))"
        )
    wrapper = optim_wrapper[name]
    if wrapper._accumulative_counts != 1:
        raise ValueError(f"optim_wrapper.{name}: gradients cannot be accumulated over several batches in GAN training")
    return wrapper


@contextmanager
def _frozen(module: nn.Module | None) -> Iterator[None]:
    """Let gradients pass through a module, but not into its parameters."""
    weights = [] if module is None else [weight for weight in module.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _has(samples: Samples, name: str) -> bool:
    return name in (samples if isinstance(samples, dict) else samples[0]) if samples else False


def _bare(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
