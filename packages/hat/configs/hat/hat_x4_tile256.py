# Not a row of the paper: HAT x4 with ImageNet pre-training tested in tiles, for GPUs with little memory.
# Official option file: HAT_tile_example.yml. Tiles of 256 pixels that see 32 more on each side, hard seams. Channel
# attention pools over a tile, so the pictures are not those of the whole image.
# Cost: minutes on one GPU. There is nothing to `mim train`; test with
#
#   mim test mmrepro-hat hat_x4_tile256.py --checkpoint HAT_SRx4_ImageNet-pretrain.pth
_base_ = "./hat_8xb4-250k_df2k-x4_in1k-pre.py"

model = dict(test_cfg=dict(tile=256, tile_pad=32))
test_dataloader = dict(dataset=dict(names=["Set5", "Urban100"]))
