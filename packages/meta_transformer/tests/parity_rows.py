"""The cases of table rows and of hyperspectral pixels."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from scipy.io import savemat
from torch import nn

from mm_meta_transformer.checkpoints import hyper, tabular
from mm_meta_transformer.datasets.hyperspectral import HyperspectralDataset
from mm_meta_transformer.datasets.hyperspectral_scene import mirrored, scaled
from mm_meta_transformer.evaluation.land_cover_metric import land_cover_scores

Arrays = dict[str, np.ndarray]


def model_of(kind: object, state: Arrays) -> nn.Module:
    """Return the model of an official state dict with its weights, in evaluation mode, all of it trainable."""
    official = {key: torch.from_numpy(value) for key, value in state.items()}
    config = kind.infer_config(official)
    config["encoder"]["frozen"] = False
    with torch.device("meta"):  # no weights are drawn to be overwritten
        model = MODELS.build(config)
    model.load_state_dict(kind.rules(official).forward(official), assign=True)
    return model.eval()


def with_positions_of(bands: np.ndarray, state: Arrays) -> Arrays:
    """Return the weights with as many positions as there are tokens: the official code leaves the last ones out."""
    return state | {"pos_embedding": state["pos_embedding"][:, : bands.shape[1] + 1]}


def hyper_forward(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return tokens, encoded tokens, logits, loss, and the lengths of gradients."""
    model = model_of(hyper, with_positions_of(inputs["bands"], state))
    tokens = model.extract_tokens(torch.from_numpy(inputs["bands"]))
    logits = model.head(model.pooled(tokens))
    loss = F.cross_entropy(logits, torch.from_numpy(inputs["labels"]))
    loss.backward()
    gradients = hyper.rules({}).backward({name: parameter.grad for name, parameter in model.named_parameters()})
    with torch.no_grad():
        encoded = model.encode(tokens)
    found = dict(tokens=tokens.tokens, encoded=encoded, logits=logits, ce=loss)
    found |= {f"grad:{name}": gradient.double().norm() for name, gradient in gradients.items()}
    return {name: value.detach() for name, value in found.items()}


def tabular_forward(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return tokens, encoded tokens, the logit and the loss."""
    # In float64: on some CPUs the rounding of float32 logits alone moves the loss by more than the tolerance.
    model = model_of(tabular, state).double()
    config, cells = manifest["config"], torch.from_numpy(inputs["X"]).double()
    categories = [config["column_idx"][name] for name, _ in config["cat_embed_input"]]
    values = [config["column_idx"][name] for name in config["continuous_cols"] or ()]
    with torch.no_grad():
        tokens = model.extract_tokens(dict(codes=cells[:, categories].long(), values=cells[:, values]))
        logit = model.head(model.pooled(tokens))
        bce = model.head.loss_module(logit, torch.from_numpy(inputs["labels"])[:, None].double())
        return dict(tokens=tokens.tokens, encoded=model.encode(tokens), logit=logit, bce=bce)


def data2seq_hyper(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return the tokens of pixels."""
    config = manifest["config"]
    tokenizer = MODELS.build(
        dict(
            type="HyperspectralTokenizer",
            num_bands=inputs["bands"].shape[1],  # at most config["patch_size"], as it is officially called
            in_channels=config["near_band"] * config["img_size"] ** 2,
            embed_dims=config["embed_dim"],
            dropout=config["dropout"],
        )
    ).eval()
    state = with_positions_of(inputs["bands"], state)
    tokenizer.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    with torch.no_grad():
        return dict(tokens=tokenizer(torch.from_numpy(inputs["bands"])).tokens)


def hyper_pipeline(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return the mirrored picture, what the model reads of each pixel, their labels, and the scores."""
    patch, near = manifest["config"]["patches"], manifest["config"]["band_patches"]
    found: dict[str, object] = dict(mirror=mirrored(scaled(inputs["cube"]), patch))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scene.mat"
        for split, own, other in (("train", "TR", "TE"), ("test", "TE", "TR")):
            # A pixel of both maps is officially a sample of both splits; our data set refuses such a file.
            apart = np.where(inputs[own] > 0, 0, inputs[other])
            savemat(path, {"input": inputs["cube"], own: inputs[own], other: apart})
            dataset = HyperspectralDataset(str(path), split, patch, near)
            samples = [dataset.get_data_info(number) for number in range(len(dataset))]
            found[f"x_{split}"] = np.stack([sample["bands"] for sample in samples])
            found[f"y_{split}"] = np.array([sample["gt_label"] for sample in samples])
            found[f"points_{split}"] = np.array([(sample["row"], sample["column"]) for sample in samples])
    scores = land_cover_scores(inputs["metric_tar"], inputs["metric_pre"])
    # The official scores have no row for a class that occurs nowhere, and are NaN for one that is only predicted.
    scores["per_class"] = scores["per_class"][np.union1d(inputs["metric_tar"], inputs["metric_pre"])]
    scores["AA"] = scores["per_class"].mean()
    return found | {f"metric_{name}": value for name, value in scores.items()}
