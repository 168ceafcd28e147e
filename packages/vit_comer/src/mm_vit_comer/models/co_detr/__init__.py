"""Co-DETR around ViT-CoMer; importing this module, which needs mmdet, registers its parts in mmdet's registry.

Paper: "DETRs with Collaborative Hybrid Assignments Training" (ICCV 2023, arXiv 2211.12860). mmdet 3.5 has it in its
project folder only, which is not installed; written here from the paper on top of mmdet's DINO, Faster R-CNN and ATSS.
The prefix ``CoMer`` keeps the names apart from that project's.
"""

from mm_vit_comer.models.co_detr import co_atss_head, co_detr, co_dino_head, co_roi_head  # noqa: F401
