"""Small networks as PyTorch exports them: the fixtures beside this file. Written with PyTorch 1.13 (Debian's python3-torch):

    /usr/bin/python3 tests/advisor/read/export.py tests/advisor/read/exported
"""
import os
import sys

import torch
from torch import nn

torch.manual_seed(0)


class Block(nn.Module):
    """One pre-norm transformer block with fused queries, keys and values, over a table of words."""

    def __init__(self, words=24, tokens=6, d=8, heads=2):
        super().__init__()
        self.heads = heads
        self.words = nn.Embedding(words, d)
        self.places = nn.Parameter(torch.zeros(1, tokens, d))
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.head = nn.Linear(d, words, bias=False)

        # As after training: exporters store arrays of equal numbers once.
        for norm in (self.norm1, self.norm2):
            nn.init.normal_(norm.weight, 1, 0.1)
            nn.init.normal_(norm.bias, 0, 0.1)

    def forward(self, ids):
        x = self.words(ids) + self.places
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1) / (d // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((scores @ v).transpose(1, 2).reshape(b, t, d))
        return self.head(x + self.down(nn.functional.gelu(self.up(self.norm2(x)))))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


networks = {
    "mlp": (nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), torch.zeros(2, 12)),
    "cnn": (
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 3),
        ),
        torch.zeros(2, 1, 12, 12),
    ),
    "transformer": (Block(), torch.zeros(2, 6, dtype=torch.long)),
    "lstm": (Recurrent(), torch.zeros(2, 7, 3)),
}
os.makedirs(sys.argv[1], exist_ok=True)
for name, (network, example) in networks.items():
    path = os.path.join(sys.argv[1], f"{name}.onnx")
    # Training mode keeps norms apart from convolutions.
    mode = torch.onnx.TrainingMode.TRAINING if name == "cnn" else torch.onnx.TrainingMode.EVAL
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    torch.onnx.export(network, example, path, input_names=["x"], output_names=["y"], dynamic_axes=axes, training=mode)
    parameters = sum(p.numel() for p in network.parameters())
    print(name, parameters, os.path.getsize(path), "bytes")
