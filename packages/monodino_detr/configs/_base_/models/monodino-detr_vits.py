# MonoDINO-DETR on ViT-S: see monodino-detr_vitb.py.
_base_ = "monodino-detr_vitb.py"

start = dict(
    type="PretrainedDepthAnything",
    checkpoint="https://huggingface.co/depth-anything/Depth-Anything-V2-Small/resolve/main/depth_anything_v2_vits.pth",
)
model = dict(
    backbone=dict(arch="small", init_cfg=start),
    depth_head=dict(arch="small", init_cfg=start),
    neck=dict(in_channels=384, mid_channels=(96, 192)),
)
del start
