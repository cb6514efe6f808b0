"""What a token looks like, from its characters: a convolution, and the maximum over the token.

Ma & Hovy, "End-to-end sequence labeling via bi-directional LSTM-CNNs-CRF", 2016. The token has a
fixed width here, so that nothing depends on its neighbours' lengths.

Notation: C columns of characters, E size of a character's vector, F features.
"""

import torch
from torch import Tensor, nn

WINDOW = 3
"""Characters that are looked at together."""


class CharacterFeatures(nn.Module):
    """features = max over places of relu(W [e_k; e_k+1; e_k+2] + b).

    alphabet: ids below it are characters, any other is read as `unknown`.
    """

    def __init__(self, alphabet: int, size: int, features: int, unknown: int = 1) -> None:
        super().__init__()
        self.alphabet, self.unknown = alphabet, unknown
        self.embedding = nn.Embedding(alphabet, size)
        self.windows = nn.Linear(WINDOW * size, features)

    def forward(self, ids: Tensor) -> Tensor:
        """Features float32 [..., F] of characters int64 [..., C]."""
        known = torch.where(ids < self.alphabet, ids, self.unknown)
        x: Tensor = self.embedding(known)
        places = ids.shape[-1] - WINDOW + 1
        seen = torch.cat([x[..., k : k + places, :] for k in range(WINDOW)], dim=-1)
        features: Tensor = torch.relu(self.windows(seen)).amax(dim=-2)
        return features
