# Meta-Transformer (arXiv 2307.10802), text, base encoder tuned, SST-2: accuracy 81.3 (paper, table of GLUE, quoted
# from memory, unverified). The official repository has no code for text: network and recipe are this package's, from
# the paper's text.
# Cost: not stated; 3 epochs of 67,349 sentences. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_sst2.py
_base_ = [
    "../_base_/models/text.py",
    "../_base_/datasets/glue.py",
    "../_base_/schedules/adamw_text_3e.py",
    "../_base_/default_runtime.py",
]

model = dict(head=dict(num_classes=2))
data_root = "{{$MMREPRO_DATA_ROOT:data}}/glue/SST-2/"
train_dataloader = dict(dataset=dict(task="sst2", data_root=data_root))
val_dataloader = dict(dataset=dict(task="sst2", data_root=data_root))
test_dataloader = dict(dataset=dict(task="sst2", data_root=data_root))
