# Parts of objects: as scenes, with batch norms and the kind of object as a feature of its points.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerPointSeg",
    tokenizer=dict(type="P3Tokenizer", in_channels=7, sample_ratio=0.0625, group_size=32),
    decoder=dict(type="PointDecoder", global_features=("cls", "max", "avg"), num_categories=16),
    head=dict(type="PointSegHead", num_classes=50, hidden=(256,), loss=dict(type="Poly1FocalLoss")),
    # airplane, bag, cap, car, chair, earphone, guitar, knife,
    # lamp, laptop, motorbike, mug, pistol, rocket, skateboard, table
    parts=(
        *((0, 1, 2, 3), (4, 5), (6, 7), (8, 9, 10, 11), (12, 13, 14, 15), (16, 17, 18), (19, 20, 21), (22, 23)),
        *((24, 25, 26, 27), (28, 29), (30, 31, 32, 33, 34, 35), (36, 37), (38, 39, 40), (41, 42, 43), (44, 45, 46)),
        (47, 48, 49),
    ),
)
