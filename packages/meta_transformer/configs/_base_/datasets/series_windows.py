# How windows are loaded, for every series; a data set's file says which one, a config sets pred_len.
train_dataloader = dict(
    batch_size=32,
    num_workers=0,  # the data is one tensor in memory: a worker would cost more than it saves
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="identity_collate"),
    dataset=dict(split="train", seq_len=96, pred_len=96, future_marks=True),
)
# The official protocol: shuffled, in training batches, and a remainder smaller than a batch is left out.
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True, round_up=False),
    collate_fn=dict(type="identity_collate"),
    dataset=dict(split="val", seq_len=96, pred_len=96, future_marks=True),
)
# Every test window counts once, so the batch size changes nothing but the speed.
test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    collate_fn=dict(type="identity_collate"),
    dataset=dict(split="test", seq_len=96, pred_len=96, future_marks=True),
)
val_evaluator = dict(type="ForecastMetric")
test_evaluator = dict(type="ForecastMetric")
