"""A linear-chain conditional random field over tags (Lafferty, McCallum & Pereira 2001).

It scores a sequence of tags by what the network says of each place and by what each pair of
neighbours is worth, and is trained by the likelihood of the whole sequence (over a recurrent
network: Huang, Xu & Yu 2015; Lample et al. 2016). Decoding is `treadle.decoding.viterbi`, whose
notation this is: B batch, T time, N tags.
"""

import torch
from torch import Tensor, nn

from treadle_train.cells.ragged import valid_positions

FORBIDDEN = -1e4
"""The score of a move that cannot be: its exponential is 0, and it can be written in JSON."""


class ConditionalRandomField(nn.Module):
    """transitions [N, N] from row to column, first [N], last [N]; zeros at the start."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.first = nn.Parameter(torch.zeros(tags))
        self.last = nn.Parameter(torch.zeros(tags))

    @torch.no_grad()
    def forbid(self, moves: Tensor, first: Tensor) -> None:
        """Give moves bool [N, N] from row to column, and tags bool [N] at the start, no chance.

        Their score is FORBIDDEN; that it stays so is the optimizer's affair (modules/held.py).
        """
        self.transitions.masked_fill_(moves, FORBIDDEN)
        self.first.masked_fill_(first, FORBIDDEN)

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-likelihood [B] of tags int64 [B, T], given emissions float32 [B, T, N].

        lengths int64 [B] in 1..T; what is padded changes nothing.
        """
        emissions = emissions.float()
        return self._all(emissions, lengths) - self._score(emissions, tags, lengths)

    def _score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The score of the given tags [B]."""
        valid = valid_positions(lengths, tags.shape[1])
        tags = tags.where(valid, 0)
        said = emissions.gather(2, tags[:, :, None])[:, :, 0].where(valid, 0).sum(1)
        moved = self.transitions[tags[:, :-1], tags[:, 1:]].where(valid[:, 1:], 0).sum(1)
        end = tags.gather(1, lengths[:, None] - 1)[:, 0]
        score: Tensor = self.first[tags[:, 0]] + said + moved + self.last[end]
        return score

    def _all(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Log Σ exp(score) over all sequences of tags [B], by the forward algorithm."""
        total = self.first + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            through = torch.logsumexp(total[:, :, None] + self.transitions, dim=1)
            total = torch.where((lengths > t)[:, None], through + emissions[:, t], total)
        return torch.logsumexp(total + self.last, dim=1)
