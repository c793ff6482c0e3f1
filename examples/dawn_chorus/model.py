"""The network: a small EfficientNet-like body and an attention head that says what is heard and when.

Every block is Conv-BatchNorm-SiLU with depthwise 3x3 or 5x5 convolutions and squeeze-excite, all widths multiples of 16: the
operators and shapes of the large networks that whimbrel is for, at a hundredth of the size.
"""

import torch
from torch import nn


def conv_bn(inputs, outputs, kernel=1, stride=1, groups=1, activation=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.SiLU()] if activation else []))


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole plane holds (Hu et al. 2018)."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        gate = self.expand(nn.functional.silu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class MBConv(nn.Module):
    """Inverted bottleneck: widen, depthwise, squeeze-excite, narrow (Tan and Le 2019)."""

    def __init__(self, inputs, outputs, kernel, stride, widen):
        super().__init__()
        wide = inputs * widen
        self.body = nn.Sequential(
            *([conv_bn(inputs, wide)] if widen > 1 else []),
            conv_bn(wide, wide, kernel, stride, groups=wide),
            SqueezeExcite(wide, max(16, inputs // 4 // 16 * 16)),
            conv_bn(wide, outputs, activation=False),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class DawnChorusNet(nn.Module):
    """mel [n, 1, 64, frames] -> clip-wise logits [n, classes] and frame-wise logits [n, classes, frames / 8]."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(1, 16, 3, 2),
            MBConv(16, 16, 3, 1, 1),
            MBConv(16, 32, 3, 2, 4),
            MBConv(32, 32, 3, 1, 4),
            MBConv(32, 48, 5, 2, 4),
            MBConv(48, 48, 5, 1, 4),
            MBConv(48, 48, 5, 1, 4),
            MBConv(48, 80, 5, (2, 1), 4),
            MBConv(80, 80, 5, 1, 4),
            MBConv(80, 80, 3, 1, 4),
            conv_bn(80, 192),
        )
        self.attention = nn.Conv1d(192, classes, 1)
        self.presence = nn.Conv1d(192, classes, 1)

    def forward(self, mel):
        features = self.body(mel)
        # A call fills few mel bands: the mean over bands alone would drown it.
        features = features.mean(2) + features.amax(2)
        weights = torch.softmax(torch.tanh(self.attention(features)) * 3.0, -1)
        framewise = self.presence(features)
        return (weights * framewise).sum(-1), framewise
