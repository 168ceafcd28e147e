# Not a row of the paper: Real-HAT-GAN x4 for photographs: noisy, blurred, compressed pictures without a better version.
# Official option file: HAT_GAN_Real_SRx4.yml, in tiles of 512 pixels that see 32 more on each side.
# Cost: seconds to minutes a picture. There is nothing to `mim train`, and nothing to measure; predict with
#
#   from mm_hat.inferencer import HATInferencer
#   HATInferencer("real-hat-gan_x4_lr-only.py", "Real_HAT_GAN_SRx4.pth")("pictures", out_dir="larger")
_base_ = "./hat_8xb4-250k_df2k-x4_in1k-pre.py"

# The generator alone, which is what the released files hold; tile="exact" or "auto" where the memory allows.
model = dict(test_cfg=dict(tile=512, tile_pad=32))
