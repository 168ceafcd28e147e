"""The stored cases of the backbones: their modules one by one, the whole, gradients and running statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mm_vit_comer.models.interaction import CTIToC, CTIToV, ExtraCTI, MultiscaleExtractor
from mm_vit_comer.models.token_ffn import MRFP
from mm_vit_comer.models.vit_baseline import ViTBaseline
from mm_vit_comer.models.vit_comer import ViTCoMer
from mmrepro.dense.conv_ffn import ConvFFN
from mmrepro.dense.interaction_sizes import InteractionSizes
from mmrepro.dense.plain_vit import Attention, Block, VisionTransformerTrunk, WindowAttention
from mmrepro.dense.spatial_prior import SpatialPrior
from mmrepro.dense.token_levels import to_tokens, token_levels

FEAT_SCALE = 0.7  # of the tokens that a case attends to
SAME_NAME = (
    "drop_path_rate",
    "conv_inplane",
    "n_points",
    "deform_num_heads",
    "deform_ratio",
    "cffn_ratio",
    "interaction_indexes",
    "window_attn",
    "window_size",
    "pretrain_size",
    "extra_num",
    "cnn_feature_interaction",
    "init_values",
    "with_cp",
)
RENAMED = {"use_CTI_toV": "use_cti_to_v", "use_CTI_toC": "use_cti_to_c", "use_extra_CTI": "use_extra_cti"}
STATISTICS = ("running_mean", "running_var")


def modules(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run single modules on the same tokens."""
    config = manifest["config"]
    dim, height, width = config["dim"], config["H"], config["W"]
    sizes = InteractionSizes(dim, config["num_heads"], config["n_points"], config["deform_ratio"], config["cffn_ratio"])
    box = nn.Module()
    box.msda = sizes.attention()
    box.mrfp = MRFP(dim, int(dim * config["mrfp_hidden_ratio"]))
    box.cffn = ConvFFN(dim, int(dim * config["cffn_ratio"]))
    box.mse = MultiscaleExtractor(sizes)
    box.cti_toc = CTIToC(sizes)
    box.cti_toc_plain = CTIToC(sizes, cnn_feature_interaction=False)
    box.extra = ExtraCTI(sizes)
    box.cti_tov = CTIToV(sizes)
    box.win = Block(dim, WindowAttention(dim, config["num_heads"], config["window_size"]))
    box.glob = Block(dim, Attention(dim, config["num_heads"]))
    box.spm = SpatialPrior(dim, config["spm_inplanes"])
    load(box, state)
    box.eval()
    given = {name: torch.from_numpy(array) for name, array in inputs.items()}
    x, c = given["x"], given["c"]
    levels = token_levels(height, width, c)
    with torch.inference_mode():
        attended = box.msda.attend(
            c, FEAT_SCALE * c, levels.reference_points, levels.spatial_shapes, levels.level_start_index
        )
        c1, *maps = box.spm(given["image"])
        found = {
            "reference_points": levels.reference_points,
            "msda": attended,
            "mrfp": box.mrfp(c, levels),
            "cffn": box.cffn(c, levels),
            "mse": box.mse(c, FEAT_SCALE * c, levels),
            "cti_toc": box.cti_toc(c, x, levels),
            "cti_toc_plain": box.cti_toc_plain(c, x, levels),
            "extra": box.extra(c, x, levels),
            "cti_tov": box.cti_tov(x, c, levels),
            "window_block": box.win(x, height, width),
            "global_block": box.glob(x, height, width),
            "spm_c1": c1,
        }
        found |= {f"spm_c{level}": to_tokens(one) for level, one in enumerate(maps, 2)}
    return arrays(found)


def det_backbone(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run a backbone, and keep what its parts return."""
    config = manifest["config"]
    network = (baseline if config["type"] == "ViTBaseline" else comer)(config)
    load(network, state)
    network.eval()
    with torch.inference_mode(), recorded(network) as found:
        maps = network(torch.from_numpy(inputs["image"]))
    return arrays(found | {f"f{level}": one for level, one in enumerate(maps, 1)})


def det_reduced_train_grad(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Differentiate the maps in evaluation and in training; give the running statistics after training."""
    found = {}
    names = gradient_names(manifest["notes"])
    for mode in ("eval", "train"):
        network = comer(manifest["config"])
        load(network, state)
        network.train(mode == "train")
        with torch.no_grad():
            maps = network(torch.from_numpy(inputs["image"]))
        found |= {f"{mode}_f{level}": one for level, one in enumerate(maps, 1)}
        if mode == "train":
            found |= {f"after_{name}": one for name, one in network.named_buffers() if name.endswith(STATISTICS)}
        loss, norms, of_input = gradients(manifest["config"], state, inputs, names, mode == "train")
        found |= {f"{mode}_loss": loss, f"{mode}_grad_norms": norms, f"{mode}_grad_input": of_input}
    return arrays(found)


def gradients(
    config: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray], names: list[str], training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, the gradients' norms by name and that of the images, in double precision as in the case."""
    network = comer(config)
    load(network, state)
    network.double().train(training)
    image = torch.from_numpy(inputs["image"]).double().requires_grad_()
    cotangents = [torch.from_numpy(inputs[f"cot{level}"]).double() for level in (1, 2, 3, 4)]
    loss = sum((one * cotangent).sum() for one, cotangent in zip(network(image), cotangents, strict=True))
    loss.backward()
    parameters = dict(network.named_parameters())
    return loss[None], torch.stack([parameters[name].grad.norm() for name in names]), image.grad.norm()[None]


def gradient_names(notes: str) -> list[str]:
    """Read the parameters' names from a case's notes: ``grad_names=["a", "b"]``."""
    listed = notes.split("grad_names=[")[1].split("]")[0]
    return [name.strip().strip('"') for name in listed.split(",")]


def comer(config: Mapping, variant: str = "det") -> ViTCoMer:
    """Build the backbone of official arguments."""
    arch = {name: config[name] for name in ("embed_dim", "depth", "num_heads", "mlp_ratio")}
    given = {name: config[name] for name in SAME_NAME if name in config}
    given |= {ours: config[official] for official, ours in RENAMED.items() if official in config}
    return ViTCoMer(arch, variant, **given)


def baseline(config: Mapping) -> ViTBaseline:
    """Build the plain baseline of official arguments."""
    names = ("embed_dim", "depth", "num_heads", "mlp_ratio", "drop_path_rate", "window_attn", "window_size")
    return ViTBaseline(config["out_indices"], **{name: config[name] for name in names})


def load(network: nn.Module, state: Mapping[str, np.ndarray]) -> None:
    """Load official weights; only counts of batches may be missing."""
    weights = {name: torch.from_numpy(array) for name, array in state.items()}
    counts = {name: one for name, one in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(counts | weights)


def arrays(found: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return tensors as arrays."""
    return {name: one.detach().numpy() for name, one in found.items()}


@contextmanager
def recorded(network: VisionTransformerTrunk) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that fills with what the parts of a backbone return, by the names of a case."""
    found: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        found[name] = output

    def keep_prior(_module: nn.Module, _inputs: tuple, output: tuple[Tensor, ...]) -> None:
        c1, *maps = output
        found.update({"spm_c1": c1} | {f"spm_c{level}": to_tokens(one) for level, one in enumerate(maps, 2)})

    def keep_both(name: str, _module: nn.Module, _inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        found[f"{name}_x"], found[f"{name}_c"] = output

    def keep_positions(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found["tokens_with_pos"] = inputs[0]

    hooks = [block.register_forward_hook(partial(keep, f"block{i}")) for i, block in enumerate(network.blocks)]
    if isinstance(network, ViTCoMer):
        hooks.append(network.spm.register_forward_hook(keep_prior))
        for k, interaction in enumerate(network.interactions):
            hooks.append(interaction.register_forward_hook(partial(keep_both, f"interaction{k}")))
            for part in ("mrfp", "cti_tov", "cti_toc"):
                module = getattr(interaction, part)
                if module is not None:
                    hooks.append(module.register_forward_hook(partial(keep, f"interaction{k}_{part}")))
            for j, extra in enumerate(interaction.extra_CTIs or ()):
                hooks.append(extra.register_forward_hook(partial(keep, f"interaction{k}_extra{j}")))
        hooks.append(network.interactions[0].register_forward_pre_hook(keep_positions))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
