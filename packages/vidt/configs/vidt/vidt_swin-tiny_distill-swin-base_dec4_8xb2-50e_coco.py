# The distilled ViDT with Swin-tiny without its last two decoder layers, which are dropped after training (arXiv
# 2110.03921; official README of branch main @ 5207d04, table of components).
# Expected: 46.4 AP on val2017, of weights that vidt_swin-tiny_distill-swin-base_8xb2-50e_coco.py trains.
# Cost: a test's. `mim train` with this config trains four layers from the start, which is not what was published.
#
#   mim test mmrepro-vidt vidt_swin-tiny_distill-swin-base_dec4_8xb2-50e_coco.py --checkpoint distil/vidt_tiny_50.pth
_base_ = "vidt_swin-tiny_8xb2-50e_coco.py"

model = dict(decoder=dict(num_layers=4))
custom_hooks = [dict(_base_.custom_hooks[0], num_layers=4), *_base_.custom_hooks[1:]]

# For tests: of the tiny decoder's layers none is dropped.
tiny = {"custom_hooks": _base_.custom_hooks}
