"""Backbones and the neck of Co-DETR; importing this module registers them."""

from mm_vit_comer.models import sfp_neck, vit_baseline, vit_comer  # noqa: F401
