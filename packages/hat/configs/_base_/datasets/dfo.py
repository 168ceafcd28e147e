# DF2K and OST for real pictures: whole or cut, of any size; docs/Training.md of Real-ESRGAN says where. Everything but
# the folder is the recipe of Real-ESRGAN (arXiv 2107.10833), which the classes have as their defaults.
train_dataloader = dict(
    batch_size=4,  # on each of 8 GPUs
    num_workers=5,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="SREnlargedSampler"),
    dataset=dict(type="RealESRGANDataset", data_root="DFO", data_prefix=dict(gt="DFO_sub")),
)
