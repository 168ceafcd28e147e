# RegDB, the first of its ten random halves of the persons. Below the data root: regdb/{idx,Visible,Thermal}.
persons = dict(type="RegDB", data_root="{{$MMREPRO_DATA_ROOT:data}}/regdb", trial=1)
pack = dict(type="PackInputs", meta_keys=("sample_idx", "img_path", "camera"))
sized = [dict(type="LoadImageChecked"), dict(type="Resize", scale=(128, 256)), pack]
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        persons,
        part="train",
        pipeline=[
            dict(type="LoadImageChecked"),
            dict(type="Resize", scale=(128, 256)),
            dict(type="RandomCrop", crop_size=(256, 128), padding=10),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            pack,
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(persons, part="test", pipeline=sized),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="CrossCameraRetrieval", query="visible", gallery="thermal")
test_evaluator = val_evaluator
del persons, pack, sized
