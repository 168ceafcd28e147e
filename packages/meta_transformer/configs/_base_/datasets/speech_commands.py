# Speech Commands V2, 35 words, 16,000 samples a second. Below the data root: speech_commands_v0.02/<word>/*.wav and the
# lists of the archive. The best epoch on val is reported on test.
load = dict(type="LoadAudio", sample_rate=16000)
bands = dict(type="FilterBank", num_bins=224, target_length=224)
pack = dict(type="PackMetaInputs", keys="spectrogram")
words = dict(type="SpeechCommandsDataset", data_root="{{$MMREPRO_DATA_ROOT:data}}/speech_commands_v0.02")
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        words,
        split="train",
        partners=True,
        pipeline=[
            load,
            dict(type="MixWaveforms", prob=0.6, alpha=10.0),
            bands,
            dict(type="MaskSpectrogram", max_bins=48, max_frames=48),
            dict(type="NormalizeSpectrogram", mean=-6.845978, std=5.5654526),
            dict(type="JitterSpectrogram", noise=0.1, roll=10),
            pack,
        ],
    ),
)
test_pipeline = [load, bands, dict(type="NormalizeSpectrogram", mean=-6.845978, std=5.5654526), pack]
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(words, split="val", pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(words, split="test", pipeline=test_pipeline),
)
val_evaluator = dict(type="Accuracy")
test_evaluator = [val_evaluator, dict(type="MajorityBaseline")]
del load, bands, pack, words, test_pipeline
