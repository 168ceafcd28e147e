# Exchange: 8 variates, daily; 7,588 rows split 0.7 / 0.1 / 0.2.
_base_ = "./series_windows.py"

source = dict(type="CSVForecastDataset", data="exchange")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
