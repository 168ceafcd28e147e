# X-rays, small: drawings of chests with and without bright spots, by an encoder of 192 channels and four blocks that
# is trained here from random weights. Not a row of the paper.
# Data: generated, chest drawings of one channel, 400 to train on, 128 to test on.
# Cost: less than a minute of one CPU core. Expected: an accuracy far above that of naming one class, 50 %.
#
#   mim train mmrepro-meta-transformer smoke_xray.py
_base_ = "./smoke_infrared.py"

smoke = dict(
    subject="xray",
    data="chest drawings, generated",
    network="random, trained here",
    metric="accuracy/top1",
    better="higher",
    baseline="the most frequent class",
)

model = dict(tokenizer=dict(patch_size=8), head=dict(num_classes=2))

drawn = dict(type="GeneratedChest", generate=dict(train=400, test=128, size=64))
train_dataloader = dict(dataset=drawn)
val_dataloader = dict(dataset=drawn)
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=9, val_interval=9)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=9, T_max=9, convert_to_iter_based=True),
]
del drawn
