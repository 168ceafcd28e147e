# Not a row of the paper: HAT x4 with ImageNet pre-training for pictures of your own that have no larger version.
# Official option file: HAT_SRx4_ImageNet-LR.yml, in tiles of 512 pixels that see 32 more on each side.
# Cost: seconds to minutes a picture. There is nothing to `mim train`, and nothing to measure; predict with
#
#   from mm_hat.inferencer import HATInferencer
#   HATInferencer("hat_x4_lr-only.py", "HAT_SRx4_ImageNet-pretrain.pth")("pictures", out_dir="larger")
_base_ = "./hat_8xb4-250k_df2k-x4_in1k-pre.py"

model = dict(test_cfg=dict(tile=512, tile_pad=32))
