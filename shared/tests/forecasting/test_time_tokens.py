"""Tokens of windows that are shorter than the layer's longest, alone and padded in a batch."""

import torch

from mmrepro.forecasting.time_tokens import TemporalEmbedding


def test_a_padded_window_has_the_tokens_that_it_has_alone():
    torch.manual_seed(0)
    layer = TemporalEmbedding(3, 8, length=10, n_marks=4).eval()
    windows, marks = torch.randn(4, 10, 3), torch.randn(4, 10, 4)
    lengths = torch.tensor([10, 9, 5, 1])
    together = layer(windows, marks, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = layer(windows[row : row + 1, :length], marks[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1, :length], alone)


def test_whole_windows_are_the_same_with_their_length_said():
    torch.manual_seed(0)
    layer, windows = TemporalEmbedding(3, 8, length=6, n_marks=0).eval(), torch.randn(2, 6, 3)
    torch.testing.assert_close(layer(windows, lengths=torch.tensor([6, 6])), layer(windows))
