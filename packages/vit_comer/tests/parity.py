"""The parity adapter: what the official code computed in a case, computed by this package.

Each kind of case is served by a function of its own name in the file beside this one that has its subject.
"""

from __future__ import annotations

from pathlib import Path

import mm_vit_comer  # noqa: F401  registers everything
from mmrepro.testing import SplitAdapter

KINDS = {
    "parity_backbone": ("modules", "det_backbone", "det_reduced_train_grad"),
    "parity_pretrained": ("codetr_beit_reduced", "codetr_sfp_neck", "pretrained_weights"),
    "parity_recipes": ("lr_schedules", "upernet_loss", "slide_inference", "miou_metric", "seg_test_resize"),
    "parity_heads": ("det_maskrcnn_heads", "seg_upernet"),
}

run = SplitAdapter(Path(__file__).resolve().parent, KINDS).run
