# Meta-Transformer (arXiv 2307.10802), text, base encoder tuned, QQP: accuracy 78.0 (paper, table of GLUE, quoted
# from memory, unverified). The official repository has no code for text: network and recipe are this package's, from
# the paper's text.
# Cost: not stated; 3 epochs of 363,846 pairs of questions. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_qqp.py
_base_ = [
    "../_base_/models/text.py",
    "../_base_/datasets/glue.py",
    "../_base_/schedules/adamw_text_3e.py",
    "../_base_/default_runtime.py",
]

model = dict(head=dict(num_classes=2))
data_root = "{{$MMREPRO_DATA_ROOT:data}}/glue/QQP/"
train_dataloader = dict(dataset=dict(task="qqp", data_root=data_root, faults="drop"))  # a few lines are no pairs
val_dataloader = dict(dataset=dict(task="qqp", data_root=data_root))
test_dataloader = dict(dataset=dict(task="qqp", data_root=data_root))
