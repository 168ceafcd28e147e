"""Features of frozen models on disk, so that epochs after the first cost a head's training and no more."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import DataLoader

from mm_meta_transformer.datasets.cached_features import CachedFeatures
from mm_meta_transformer.models.frozen_features import FrozenFeatureClassifier
from mmrepro.engine import random_state
from mmrepro.engine.errors import UserError

_TRIED, _READINGS = 4, 8  # samples, and how often each is read: a step of one reading in ten is missed in 3 % of runs


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Computes each sample's feature once and keeps it on disk; :class:`.CachedFeatures` data sets then give those.

    A file's name has two keys: one of the weights and the config of model and data preprocessor, without the head's,
    and one of all the inputs that the pipelines make, so that it counts no more when weights, data or transforms
    change. The inputs are therefore read once in every run, and the first batch's features are compared with the
    file's. Labels are those of the run. Old files are left for the user to delete. With several processes the first one
    computes, and the others wait.

    Args:
        folder: of the files.

    Raises:
        UserError: the model is no :class:`.FrozenFeatureClassifier`, the training data are no
            :class:`.CachedFeatures`, or a pipeline is random.
    """

    priority = "LOW"  # after what loads or changes weights

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def before_train(self, runner: Any) -> None:
        """Bring the features of the training and the validation data."""
        if not self._fill(runner, runner.train_loop.dataloader):
            raise UserError(
                "train_dataloader.dataset is no CachedFeatures. Fix: dataset=dict(type='CachedFeatures', dataset=...)"
            )
        if runner.val_loop is not None:
            self._fill(runner, runner.val_loop.dataloader)

    def before_val(self, runner: Any) -> None:
        """Bring the features of the validation data where they are not there from the training's start."""
        dataset = _cached(runner.val_loop.dataloader)
        if dataset is not None and not dataset.has_features:
            self._fill(runner, runner.val_loop.dataloader)

    def before_test(self, runner: Any) -> None:
        """Bring the features of the test data."""
        self._fill(runner, runner.test_loop.dataloader)

    def _fill(self, runner: Any, loader: DataLoader) -> bool:
        """Bring features; return whether the data set takes them."""
        dataset = _cached(loader)
        if dataset is None:
            return False
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not isinstance(model, FrozenFeatureClassifier):
            raise UserError(f"{type(model).__name__} has no frozen features. Fix: model type FrozenFeatureClassifier")
        failure = [None]
        with random_state.preserved():
            if is_main_process():  # the others find the file, and must not wait where there will be none
                try:
                    self._bring(model, _config_text(runner), dataset, loader)
                except Exception as error:
                    broadcast_object_list([f"{type(error).__name__}: {error}"])
                    raise
            broadcast_object_list(failure)
            if failure[0] is not None:
                raise UserError(f"the first process has no features: {failure[0]}")
            if not is_main_process():
                self._bring(model, _config_text(runner), dataset, loader)
        return True

    def _bring(self, model: FrozenFeatureClassifier, config: str, dataset: CachedFeatures, loader: DataLoader) -> None:
        dataset.forget()
        _check_it_is_not_random(dataset)
        settings = dict(batch_size=loader.batch_sampler.batch_size, num_workers=loader.num_workers)
        batches = DataLoader(dataset, collate_fn=list, **settings)
        weights = weights_key(model, config)
        # without a file of these weights the features are computed while the inputs are read
        known = any(self.folder.glob(f"{weights}-*.npy"))
        inputs, samples, features = _read_through(model, batches, encode=not known)
        path = self.folder / f"{weights}-{inputs}.npy"
        stored, source = _load(path, next(iter(batches)), model) if known else None, "read"
        if stored is None:
            if known:  # name and samples are those of the reading that is encoded
                inputs, samples, features = _read_through(model, batches, encode=True)
                path = self.folder / f"{weights}-{inputs}.npy"
            _write(path, np.concatenate(features))
            stored, source = np.load(path, mmap_mode="r"), "computed"
        print_log(f"features of {len(stored)} samples, {source}: {path}", "current")
        dataset.remember(stored, samples)


def weights_key(model: FrozenFeatureClassifier, config: str) -> str:
    """Return the key of a model's weights, its buffers and its config, the head's left out.

    Buffers that are in no checkpoint count as well: the mean and the scale of a data preprocessor, for example.

    Args:
        model: the model.
        config: its config without the head, as text.
    """
    found = hashlib.sha256(config.encode())
    for name, value in sorted((model.state_dict() | dict(model.named_buffers())).items()):
        if not name.startswith("head."):
            found.update(inputs_key({name: value}).encode())
    return found.hexdigest()[:16]


def inputs_key(inputs: Any) -> str:
    """Return the key of tensors in dicts and lists: of their names, types, sizes and values."""
    found = hashlib.sha256()
    for name, value in _leaves(inputs):
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous()
            found.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
            found.update(array.reshape(-1).view(torch.uint8).numpy().data)
        else:
            found.update(f"{name} {value!r}".encode())
    return found.hexdigest()


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key], f"{name}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, one in enumerate(value):
            yield from _leaves(one, f"{name}.{number}")
    else:
        yield name, value


def _cached(loader: DataLoader) -> CachedFeatures | None:
    """Return the data set that takes features, maybe inside of others."""
    dataset = loader.dataset
    while not isinstance(dataset, CachedFeatures):
        if "dataset" not in vars(dataset):
            return None
        dataset = dataset.dataset
    return dataset


def _config_text(runner: Any) -> str:
    config = dict(runner.cfg.model)
    config.setdefault("data_preprocessor", runner.cfg.get("data_preprocessor"))  # the runner builds the model so
    return repr({key: value for key, value in sorted(config.items()) if key != "head"})


def _check_it_is_not_random(dataset: CachedFeatures) -> None:
    for index in range(min(_TRIED, len(dataset))):
        if len({inputs_key(dataset[index]["inputs"]) for _ in range(_READINGS)}) > 1:
            raise UserError(
                f"sample {index} differs when it is read again: its features cannot be kept. "
                "Fix: a pipeline without random steps, or train without FeatureCacheHook"
            )


def _read_through(
    model: FrozenFeatureClassifier, batches: DataLoader, encode: bool
) -> tuple[str, list[DataSample], list[np.ndarray]]:
    """Return the key of all inputs and the data samples and, where asked for, the features: all of one reading."""
    key, samples, features = hashlib.sha256(), [], []
    for batch in batches:
        for item in batch:
            key.update(inputs_key(item["inputs"]).encode())
            samples.append(item["data_samples"])
        if encode:
            features.append(_features(model, batch))
    return key.hexdigest()[:16], samples, features


def _features(model: FrozenFeatureClassifier, batch: list[dict[str, Any]]) -> np.ndarray:
    data = model.data_preprocessor(pseudo_collate(batch))
    return model.extract_feat(data["inputs"]).float().cpu().numpy()


def _load(path: Path, first: list[dict[str, Any]], model: FrozenFeatureClassifier) -> np.ndarray | None:
    """Return the features of a file, or ``None`` where there is none, or one that is damaged or does not agree."""
    try:
        stored = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, OSError) as error:
        print_log(f"{path} is damaged ({error}) and is computed again", "current")
        return None
    expected = _features(model, first)
    # small against what tells the samples apart, which may itself be small against the values
    tolerance = 1e-3 * expected.std(0).mean() + 1e-5 * np.abs(expected).max()
    if stored.ndim == 2 and np.allclose(stored[: len(first)], expected, rtol=0, atol=tolerance):
        return stored
    print_log(f"{path} is not what the model computes and is computed again", "current")
    return None


def _write(path: Path, features: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, features)
        os.replace(partial, path)  # whole or not at all
    except BaseException:
        os.unlink(partial)
        raise
