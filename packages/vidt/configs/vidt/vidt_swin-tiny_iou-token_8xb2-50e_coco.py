# ViDT with Swin-tiny, IoU-aware loss and token labels, 100 [DET] tokens, 50 epochs on COCO, of whose masks token
# labels are made (official README @ a8c48b5, table of components).
# Expected: 45.9 AP on val2017.
# Cost: 8 GPUs with 2 pictures each; model and time not stated.
#
#   mim train mmrepro-vidt vidt_swin-tiny_iou-token_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = "vidt_swin-tiny_iou-token-epff_8xb2-50e_coco.py"

model = dict(
    neck=dict(
        _delete_=True,
        type="ChannelMapper",
        in_channels=[192, 384, 768, 256],
        kernel_size=1,
        out_channels=256,
        norm_cfg=dict(type="GN", num_groups=32),
        act_cfg=None,
        bias=True,
        num_outs=4,
    )
)
