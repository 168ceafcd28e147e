"""The parity adapter: what the official code computed in a case, computed by this package.

Each kind of case is served by a function of its own name in the file beside this one that has its subject.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

import mm_relation_detr  # noqa: F401  registers everything

HERE = Path(__file__).resolve().parent
KINDS = {
    "parity_relation": ("position_relation", "ms_deform_attn"),
    "parity_network": ("forward", "encoder_decoder", "embeddings"),
    "parity_training": ("criterion", "denoising_cdn", "denoising_dn", "train_step", "postprocess"),
    "parity_data": ("coco_dataset", "coco_eval", "eval_preprocess", "train_transforms", "mc_metric", "optimizer"),
}
FILE_OF = {kind: file for file, kinds in KINDS.items() for kind in kinds}


def run(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute what ``manifest["entry"]`` computes, by the case's names.

    Raises:
        ValueError: this package does not serve the case's kind.
    """
    kind = manifest["kind"]
    if kind not in FILE_OF:
        raise ValueError(f"kind {kind!r} is not served; served are {sorted(FILE_OF)}")
    return getattr(part(FILE_OF[kind]), kind)(manifest, state, inputs)


@cache
def part(name: str) -> ModuleType:
    """Return the file beside this one that serves some of the kinds."""
    spec = importlib.util.spec_from_file_location(f"mmrepro_{name}_relation_detr", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look a class's module up there
    spec.loader.exec_module(module)
    return module
