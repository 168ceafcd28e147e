# TB chest radiographs in class folders. The official loader is missing, so the split is ours: every fifth picture of a
# class is tested. Below the data root: chest-xray/{train,test}/{Normal,Tuberculosis}/*.png.
root = "{{$MMREPRO_DATA_ROOT:data}}/chest-xray"
pictures = dict(type="PictureFolderDataset", metainfo=dict(classes=("Normal", "Tuberculosis")))
sized = [dict(type="LoadImageChecked"), dict(type="Resize", scale=(224, 224)), dict(type="PackInputs")]
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(pictures, data_root=f"{root}/train", pipeline=sized),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(pictures, data_root=f"{root}/test", pipeline=sized),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy")
test_evaluator = [val_evaluator, dict(type="MajorityBaseline")]
del root, pictures, sized
