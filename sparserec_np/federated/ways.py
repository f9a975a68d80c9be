"""The protocols of federated learning, by name in :data:`WAYS`."""

from __future__ import annotations

from sparserec_np.federated.gradient_rounds import GradientWay
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.server import Way
from sparserec_np.federated.spectral import SpectralWay

WAYS: dict[str, Way] = {
    "least-squares": LeastSquaresWay(),
    "spectral": SpectralWay(),
    "gradients": GradientWay(),
}
TRIED = ("least-squares", "spectral")  # where held-out items are to choose
