# Weather: 21 variates, every 10 minutes; 52,696 rows split 0.7 / 0.1 / 0.2.
_base_ = "./series_windows.py"

source = dict(type="CSVForecastDataset", data="weather")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
