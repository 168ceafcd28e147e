# Traffic: 862 variates, hourly; 17,544 rows split 0.7 / 0.1 / 0.2.
_base_ = "./series_windows.py"

source = dict(type="CSVForecastDataset", data="traffic")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
