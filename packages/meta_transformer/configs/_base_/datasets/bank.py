# Bank marketing, 80 / 10 / 10 per cent. Below the data root: bank-additional/bank-additional-full.csv.
# The official scripts stop early on the validation part and report it; here the test part is tested.
rows = dict(
    type="BankMarketingDataset",
    data_root="{{$MMREPRO_DATA_ROOT:data}}/bank-additional/",
    pipeline=[dict(type="PackMetaInputs", keys=("codes", "values"))],
)
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(rows, split="train"),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(rows, split="val"),
)
test_dataloader = dict(val_dataloader, dataset=dict(rows, split="test"))
val_evaluator = [dict(type="Accuracy"), dict(type="LogLoss")]
test_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]

# For tests: a small encoder of random weights, and generated rows in a file like the real one.
generated = dict(rows, _delete_=True, type="GeneratedBankDataset")
generated.pop("data_root")
tiny = {
    "model.tokenizer": dict(dropout=0.0),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head": dict(in_channels=19 * 16),
    "train_dataloader": dict(batch_size=8, num_workers=0, persistent_workers=False),
    "train_dataloader.dataset": dict(generated, split="train"),
    "val_dataloader": dict(num_workers=0, persistent_workers=False),
    "val_dataloader.dataset": dict(generated, split="val"),
    "test_dataloader": dict(num_workers=0, persistent_workers=False),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg": dict(max_epochs=2),
}
del rows, generated
