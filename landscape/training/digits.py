"""Two small networks on scikit-learn's handwritten digits: a factory file such as yours may be."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def mlp() -> nn.Module:
    """Return an untrained perceptron with 32 hidden units: (N, 1, 8, 8) to (N, 10)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def cnn() -> nn.Module:
    """Return an untrained network of two convolutions with BatchNorm, of the same shapes."""
    stem = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    body = [nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*stem, *body, nn.Flatten(), nn.Linear(64, 10))


def data() -> DataLoader:
    """Return all 1,797 digits, grey levels from 0 to 1, in batches of 256."""
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return DataLoader(TensorDataset(inputs, torch.tensor(labels)), batch_size=256)
