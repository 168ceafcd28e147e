"""Every config of every package: it loads by itself, its model has the stated size, and its tiny version behaves.

The tiny version (the config's own ``tiny`` hints) trains on generated data, so nothing here needs a data set. A config
that inherits from another one and is the same when tiny (it sets lengths or widths only) is not tried again.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path

import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from mmrepro.testing import load_config, tiny


@cache
def reported(package: Path) -> dict[str, dict]:
    index = yaml.safe_load((package / "model-index.yml").read_text(encoding="utf-8"))
    files = [yaml.safe_load((package / file).read_text(encoding="utf-8")) for file in index["Import"]]
    return {model["Name"]: model for file in files for model in file["Models"]}


def build(config: Config) -> torch.nn.Module:
    init_default_scope(config.default_scope)
    return MODELS.build(config.model)


def first_batch(config: Config, size: int = 4) -> dict:
    """Return the first ``size`` samples as the training loop would hand them over, in the data set's order."""
    loader = dict(config.train_dataloader, batch_size=size, sampler=dict(type="DefaultSampler", shuffle=False))
    return next(iter(Runner.build_dataloader(loader, seed=0)))


def losses(model: torch.nn.Module, batch: dict) -> torch.Tensor:
    data = model.data_preprocessor(batch, training=True)
    return model.parse_losses(model(**data, mode="loss"))[0]


def small(config: Path) -> Config:
    """Return the tiny version of a config; dropout is off so that two passes can be compared."""
    settings = tiny(load_config(config))
    if "dropout" in settings.model:
        settings.model.dropout = 0.0
    torch.manual_seed(0)
    return settings


def test_the_head_says_what_it_is_and_how_to_run_it(config):
    head = [line for line in config.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert len(head) >= 3
    assert any(command in line for line in head for command in ("mim train", "mmrepro quickstart"))
    for line in head:  # mim finds a config by its whole file name
        if found := re.search(r"mim train mmrepro-\S+ (\S+)", line):
            assert Path(found[1]).name in (config.name, "your_copy.py")


def test_it_brings_its_own_imports(config):
    assert load_config(config).custom_imports["imports"]


def test_the_model_has_the_reported_size(config):
    package = config.parents[2]
    listed = reported(package).get(config.stem)
    with torch.device("meta"):
        model = build(load_config(config))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == listed["Metadata"]["Parameters"] if listed else parameters > 0


def test_every_parameter_gets_a_finite_gradient(root):
    settings = small(root)
    model = build(settings).train()
    loss = losses(model, first_batch(settings))
    loss.backward()
    assert torch.isfinite(loss)
    trained = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    without = [name for name, gradient in trained.items() if gradient is None]
    broken = [name for name, gradient in trained.items() if gradient is not None and not gradient.isfinite().all()]
    assert (without, broken) == ([], [])


def set_with_cp(node: object, value: bool) -> int:
    """Set ``with_cp`` in every part of a model's config whose class, or a base of it, takes it; return their number."""
    if isinstance(node, (list, tuple)):
        return sum(set_with_cp(child, value) for child in node)
    if not isinstance(node, dict):
        return 0
    found = sum(set_with_cp(child, value) for child in list(node.values()))
    with MODELS.switch_scope_and_registry(None) as models:  # the scope's, and its ancestors
        kind = models.get(node["type"]) if isinstance(node.get("type"), str) else None
    classes = inspect.getmro(kind) if kind else ()
    # A part whose class its owner names has no type: there the config says whether it takes it.
    if "with_cp" in node or any("with_cp" in inspect.signature(one.__init__).parameters for one in classes):
        node["with_cp"] = value
        found += 1
    return found


def test_activation_checkpointing_changes_nothing(root):
    settings = small(root)
    init_default_scope(settings.default_scope)
    batch, results = first_batch(settings), []
    for with_cp in (False, True):
        assert set_with_cp(settings.model, with_cp) > 0, "no part of the model takes with_cp"
        torch.manual_seed(0)
        model = build(settings).train()
        loss = losses(model, batch)
        loss.backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
        results.append([loss.detach(), *gradients])
    for plain, checkpointed in zip(*results, strict=True):
        # What several layers read gets its gradients added up in another order.
        torch.testing.assert_close(checkpointed, plain, rtol=1e-6, atol=1e-5 * plain.abs().max().item())


def test_saved_and_loaded_is_the_same_model(root, tmp_path):
    settings = small(root)
    model, other = build(settings), build(settings)  # in training: some detectors have no losses in evaluation
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    other.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
    batch = first_batch(settings)
    found = []
    for one in (model, other):
        torch.manual_seed(0)  # dropout, denoising and some attention draw at random
        with torch.no_grad():
            found.append(losses(one, batch))
    assert found[0] == found[1]


def test_an_heir_is_the_same_when_tiny_or_behaves_as_well(heir, inherited, tmp_path):
    """What an heir changes is mostly lengths and widths, which the tiny version overrides."""
    mine, other = small(heir), small(inherited)
    if mine.model != other.model or mine.train_dataloader != other.train_dataloader:
        test_every_parameter_gets_a_finite_gradient(heir)
        test_activation_checkpointing_changes_nothing(heir)
        test_saved_and_loaded_is_the_same_model(heir, tmp_path)
