"""The two optimisers of the base: Muon for the matrices of the layers, AdamW for everything else."""

import torch


def orthogonalise(matrices: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest orthogonal matrices, for a stack of wide matrices."""
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


class Muon:
    """Momentum whose update is made orthogonal; matrices of one shape are treated in one batch."""

    def __init__(self, parameters, rate, momentum=0.95):
        self.rate, self.momentum = rate, momentum
        self.groups = {}
        for parameter in parameters:
            self.groups.setdefault(tuple(parameter.shape), []).append(parameter)
        self.kept = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    @torch.no_grad()
    def step(self, scale):
        """One update; `scale` is the place in the learning-rate schedule."""
        for (rows, columns), group in self.groups.items():
            gradients = torch.stack([parameter.grad for parameter in group])
            kept = self.kept[rows, columns].lerp_(gradients, 1 - self.momentum)
            update = gradients.lerp(kept, self.momentum)
            update = orthogonalise(update.mT).mT if rows > columns else orthogonalise(update)
            size = self.rate * scale * max(1, rows / columns) ** 0.5
            for parameter, change in zip(group, update):
                parameter.sub_(change, alpha=size)


def split_parameters(model):
    """Layer matrices for Muon, the rest for AdamW."""
    matrices = [p for name, p in model.named_parameters() if "layers" in name and p.dim() == 2]
    rest = [p for name, p in model.named_parameters() if not ("layers" in name and p.dim() == 2)]
    return matrices, rest
