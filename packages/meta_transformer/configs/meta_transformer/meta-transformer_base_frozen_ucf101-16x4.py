# Meta-Transformer (arXiv 2307.10802), video, base encoder frozen, UCF101: accuracy 46.6 with 1.1 M parameters
# (paper, quoted from memory, unverified). The official repository has no such training: it is that of Kinetics-400,
# frozen.
# Cost: not stated. Needs the encoder's weights. Below the data root: ucf101/{train,val}.txt, lines "<path> <label>".
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_ucf101-16x4.py
_base_ = "./meta-transformer_base_k400-16x4.py"
root = "{{$MMREPRO_DATA_ROOT:data}}/ucf101"
model = dict(
    data_preprocessor=dict(num_classes=101),
    encoder=dict(frozen=True, drop_path=0.0),
    head=dict(num_classes=101, loss=dict(num_classes=101)),
)
train_dataloader = dict(dataset=dict(dataset=dict(data_root=root)))
val_dataloader = dict(dataset=dict(data_root=root))
test_dataloader = dict(dataset=dict(data_root=root))
# The rate of what stands before the frozen blocks is not made smaller by their number.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
del root
