"""oneDNN writes past its memory in the backward pass of convolutions with fewer than eight channels, without AVX-512.

    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/onednn_small_convolutions.py [CHANNELS]

Needs torch alone. Seen with torch 2.15.0 (oneDNN 3.13.3): with 2 or 4 channels the process dies in most runs ("double
free", "corrupted double-linked list", segmentation fault); with 8 or 16, with ``ONEDNN_MAX_CPU_ISA=AVX``, or with
``torch.backends.mkldnn.enabled = False`` it ends and prints the loss.
"""

import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy


class Block(nn.Module):
    """Two convolutions beside a shortcut, as in a ResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        same = stride == 1 and inputs == outputs
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity() if same else shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norms[1](self.second(torch.relu(self.norms[0](self.first(x)))))
        return torch.relu(y + self.shortcut(x))


def main(channels: int) -> None:
    torch.manual_seed(0)
    c = channels
    stem = (nn.Conv2d(1, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU())
    widths = (c, 2 * c, 4 * c, 8 * c)
    blocks = [Block(widths[max(i - 1, 0)], w, 1 if i == 0 else 2) for i, w in enumerate(widths)]
    blocks += [Block(w, w, 1) for w in widths[-1:]]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * c, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for _ in range(60):
        # A permuted batch of one channel: strides (64, 1, 8, 1), as crops by advanced indexing leave them.
        images = torch.randn(32, 8, 8, 1).permute(0, 3, 1, 2)
        loss = cross_entropy(model(images), torch.randint(10, (32,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"torch {torch.__version__}, {channels} channels: ended with loss {float(loss):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
