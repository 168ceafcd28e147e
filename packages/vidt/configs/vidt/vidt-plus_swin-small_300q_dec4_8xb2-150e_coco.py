# ViDT+ with Swin-small, 150 epochs, without its last two decoder layers, which are dropped after training (arXiv
# 2204.07962; official README @ a8c48b5, table of components).
# Expected: 51.8 AP on val2017, of weights that vidt-plus_swin-small_300q_8xb2-150e_coco.py trains.
# Cost: a test's. `mim train` with this config trains four layers from the start, which is not what was published.
#
#   mim test mmrepro-vidt vidt-plus_swin-small_300q_dec4_8xb2-150e_coco.py --checkpoint vidt_plus_swin_small_optimized.pth
_base_ = "vidt-plus_swin-small_300q_8xb2-150e_coco.py"

model = dict(decoder=dict(num_layers=4))
custom_hooks = [dict(_base_.custom_hooks[0], num_layers=4), *_base_.custom_hooks[1:]]

# For tests: of the tiny decoder's layers none is dropped.
tiny = {"custom_hooks": _base_.custom_hooks}
