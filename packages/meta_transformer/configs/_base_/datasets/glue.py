# A sentence task of GLUE: train.tsv is trained on; dev.tsv is tested, for labels of the test part are not published.
# Below the data root: glue/TASK/train.tsv and dev.tsv, and glue/vocab.txt of bert-base-uncased. Recipe: this package's.
sentences = dict(
    type="GLUEDataset",
    vocabulary=dict(type="file", path="{{$MMREPRO_DATA_ROOT:data}}/glue/vocab.txt"),
    max_length=128,
    pipeline=[dict(type="PackMetaInputs", keys=("ids",))],
)
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(sentences, ann_file="train.tsv"),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(sentences, ann_file="dev.tsv"),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

# For tests: a small encoder of random weights, and drawn sentences with a vocabulary of their own.
generated = dict(
    type="GeneratedSentencesDataset",
    count=8,
    vocabulary=dict(type="learned", size=64),
    max_length=24,
    pipeline=[dict(type="PackMetaInputs", keys=("ids",))],
    _delete_=True,
)
tiny = {
    "model.tokenizer": dict(vocab_size=64, max_length=24, dropout=0.0),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head.dropout": 0.0,
    "train_dataloader": dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=generated),
    "val_dataloader": dict(num_workers=0, persistent_workers=False, dataset=generated),
    "test_dataloader": dict(num_workers=0, persistent_workers=False, dataset=generated),
    "train_cfg": dict(max_epochs=2),
}
del sentences, generated
