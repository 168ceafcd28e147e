# MonoDINO-DETR on ViT-L: see monodino-detr_vitb.py.
_base_ = "monodino-detr_vitb.py"

start = dict(
    type="PretrainedDepthAnything",
    checkpoint="https://huggingface.co/depth-anything/Depth-Anything-V2-Large/resolve/main/depth_anything_v2_vitl.pth",
)
model = dict(
    backbone=dict(arch="large", init_cfg=start),
    depth_head=dict(arch="large", init_cfg=start),
    neck=dict(in_channels=1024, mid_channels=(512, 1024)),
)
del start
