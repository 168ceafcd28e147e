"""Parity adapter of losses, training steps and tiles; one function for each kind of case."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.structures import BaseDataElement
from torch import Tensor

from mm_hat.datasets.usm import USMSharp
from mm_hat.hooks import BasicSREMAHook
from mm_hat.models.losses import RestorationGANLoss, RestorationL1Loss, RestorationPerceptualLoss
from mm_hat.models.real_hat_gan import RealHATGAN
from mm_hat.models.restorer import ImageRestorer
from mm_hat.models.tiling import pad_to_window


def perceptual_loss(config: dict, state: dict) -> RestorationPerceptualLoss:
    """Return the loss with drawn weights; the case says that its kernels are scaled to keep deep features alive."""
    loss = RestorationPerceptualLoss(config["layer_weights"], pretrained=None)
    prefix = "vgg_net."
    vgg = {key.removeprefix(prefix): torch.from_numpy(w) for key, w in state.items() if key.startswith(prefix)}
    loss.vgg.load({key: w * np.float32(2**0.5) if w.ndim == 4 else w for key, w in vgg.items()}, "the case")
    return loss


def tensors(inputs: dict) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value) for name, value in inputs.items()}


def losses(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return every loss of given images and logits, and the perceptual loss's gradient."""
    given, config = tensors(inputs), manifest["config"]
    gan = RestorationGANLoss(config["gan_loss_weight"])
    perceptual = perceptual_loss(config, state)
    pred, target = given["pred"].requires_grad_(), given["target"]
    differences = perceptual.by_layer(pred, target)
    total = perceptual(pred, target)
    total.backward()
    features = perceptual.vgg(pred)
    results = {
        "l1": RestorationL1Loss()(pred, target),
        "gan_g": gan(given["logits"], True),
        "gan_d_real": gan(given["logits"], True, is_disc=True),
        "gan_d_fake": gan(given["logits"], False, is_disc=True),
        **{f"percep_{name}": value for name, value in differences.items()},
        **{f"vgg_std_{name}": feature.std() for name, feature in features.items()},
        "percep_total": total,
        "percep_grad_pred": pred.grad,
        "percep_grad_pred_norm": pred.grad.double().norm(),
        "vgg_conv5_4_pred": features["conv5_4"],
    }
    return {name: value.detach().numpy() for name, value in results.items()}


def network_config(config: dict) -> dict:
    return {"type": "HAT"} | config


def load(module: torch.nn.Module, state: dict, prefix: str = "") -> None:
    """Load official weights, whose names are ours."""
    wanted = module.state_dict()
    module.load_state_dict({key: torch.from_numpy(state[prefix + key]) for key in wanted})


def batch(given: dict[str, Tensor], i: int) -> dict:
    """Return the batch of iteration ``i`` as a data loader gives it."""
    samples = [BaseDataElement(gt_img=gt) for gt in given[f"gt_{i}"]]
    return {"inputs": given[f"lq_{i}"], "data_samples": samples}


def tile_inference(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return a padded picture, and what becomes of it at once and in tiles."""
    config, image = manifest["config"], tensors(inputs)["image"]
    tiles = {"tile": config["tile_size"], "tile_pad": config["tile_pad"]}
    results = {"padded": pad_to_window(image, config["network"]["window_size"])}
    for name, test_cfg in (("full", None), ("tiled", tiles)):
        model = ImageRestorer(network_config(config["network"]), test_cfg=test_cfg).eval()
        load(model.generator, state)
        results[name] = model.predict(image)[0].output.pred_img[None]
    return {name: value.numpy() for name, value in results.items()}


def train_steps_adam_ema(manifest: dict, state: dict, inputs: dict) -> dict:
    """Train for some steps with Adam, a schedule and the moving average, as a runner does."""
    config, given = manifest["config"], tensors(inputs)
    train, names = config["train"], manifest["given"]["param_names"]
    model = ImageRestorer(network_config(config["network"]), pixel_loss={"type": "RestorationL1Loss"})
    load(model.generator, state)
    wrapper = build_optim_wrapper(model, {"type": "OptimWrapper", "optimizer": dict(train["optim_g"])})
    scheduler = PARAM_SCHEDULERS.build(
        dict(train["scheduler"], by_epoch=False), default_args={"optimizer": wrapper.optimizer}
    )
    hook = BasicSREMAHook(momentum=1 - train["ema_decay"])
    runner = SimpleNamespace(model=model, iter=0, epoch=0, max_iters=train["total_iter"])
    hook.before_run(runner)
    hook.before_train(runner)
    steps, rates = [], []
    for i in range(train["total_iter"]):
        rates.append(wrapper.get_lr()["lr"][0])
        steps.append(model.train().train_step(batch(given, i + 1), wrapper)["loss"].item())
        scheduler.step()
        hook.after_train_iter(runner, i)
        runner.iter += 1
    nets = {"net": model.generator.eval(), "ema": hook.ema_model.module.eval()}
    weights = {name: dict(net.named_parameters()) for name, net in nets.items()}
    deltas = {
        name: [(weights[name][key].detach() - torch.from_numpy(state[key])).norm().item() for key in names]
        for name in nets
    }
    with torch.no_grad():
        outputs = {f"{name}_output": net(given["probe"]).numpy() for name, net in nets.items()}
    return {
        "losses": np.array(steps),
        "lrs": np.array(rates),
        "param_delta": np.array(deltas["net"]),
        "ema_delta": np.array(deltas["ema"]),
        "conv_last_bias": weights["net"]["conv_last.bias"].detach().numpy(),
        "ema_conv_last_bias": weights["ema"]["conv_last.bias"].numpy(),
        **outputs,
    }


def gan_step(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the losses of the first steps of the GAN training, and gradients of the first.

    In float64: the perceptual loss is an L1, one of its differences in this case is below 1e-6, and float32's rounding
    turns its sign, which changes gradients by 4e-4. The stored ones agree with float64 to 2e-7.
    """
    config, given = manifest["config"], {name: value.double() for name, value in tensors(inputs).items()}
    model = RealHATGAN(
        network_config(config["network_g"]),
        {"type": "UNetDiscriminatorWithSpectralNorm"} | config["network_d"],
        pixel_loss={"type": "RestorationL1Loss"},
        perceptual_loss={"type": "RestorationPerceptualLoss", "pretrained": None},
        gan_loss={"type": "RestorationGANLoss", "loss_weight": config["gan_loss_weight"]},
    ).train()
    load(model.generator, state, "net_g:")
    load(model.discriminator, state)
    model.perceptual_loss = perceptual_loss(config, state)
    model.double()
    adam = {"type": "Adam", "lr": config["lr"], "betas": config["betas"]}
    parts = {part: {"type": "OptimWrapper", "optimizer": dict(adam)} for part in ("generator", "discriminator")}
    wrappers = build_optim_wrapper(model, {"constructor": "MultiOptimWrapperConstructor"} | parts)
    gradients = keep_gradients(model, wrappers)
    logs = []
    for i in (1, 2):
        data = batch(given, i)
        for sample, sharp in zip(data["data_samples"], USMSharp().double()(given[f"gt_{i}"]), strict=True):
            sample.gt_usm = sharp
        log = model.train_step(data, wrappers)
        logs.append([log[GAN_LOG[name]].item() for name in manifest["given"]["log_names"]])
    return {
        "logs": np.array(logs),
        "grad_norms": np.array([gradients[name] for name in manifest["given"]["grad_norm_names"]]),
    }


GAN_LOG = {
    "l_g_pix": "loss_pix",
    "l_g_percep": "loss_perceptual",
    "l_g_gan": "loss_gan",
    "l_d_real": "loss_d_real",
    "out_d_real": "d_real",
    "l_d_fake": "loss_d_fake",
    "out_d_fake": "d_fake",
}


def keep_gradients(model: RealHATGAN, wrappers: OptimWrapperDict) -> dict[str, float]:
    """Return a dict that the optimizers' first steps fill with the norms of the gradients they see."""
    norms: dict[str, float] = {}
    for part in ("generator", "discriminator"):

        def keep(*_, part: str = part) -> None:
            for name, weight in getattr(model, part).named_parameters():
                norms.setdefault(f"{part[0].upper()} {name}", weight.grad.double().norm().item())

        wrappers[part].optimizer.register_step_pre_hook(keep)
    return norms
