# Lorenz-96: generated, 8 chaotic variates, 20,000 steps of 0.02 time units, split 0.7 / 0.1 / 0.2; no file, no marks.
# Over 24 steps the repeated last value is worthless (MSE 1.1 in scaled units), yet the window determines most of them.
_base_ = "./windows.py"

source = dict(type="Lorenz96Dataset", generate=dict(steps=20_000, variates=8, seed=0), pred_len=24)
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
