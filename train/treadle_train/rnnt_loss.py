"""The likelihood of a transcript under a recurrent neural network transducer.

Graves, "Sequence transduction with recurrent neural networks", 2012, equations 16 to 18.

Notation: B batch, T steps of the encoder, U symbols of a transcript, V symbols with the blank.
"""

import torch
from torch import Tensor

# log 0 in the recursion: far below every log-probability, and finite, so that its gradient is 0.
_NEVER = -1e30


def rnnt_nats(
    logits: Tensor, lengths: Tensor, symbols: Tensor, counts: Tensor, blank: int
) -> Tensor:
    """-log Pr(symbols | x), summed over all alignments, float32 [B].

    With y(t, u) the distribution after t steps and u symbols, and α(t, u) the probability of having
    emitted u symbols when step t is reached (both from 0),

        α(t, u) = α(t-1, u) · y(t-1, u)[blank] + α(t, u-1) · y(t, u-1)[symbol u-1]
        Pr = α(T-1, U) · y(T-1, U)[blank]

    in logarithms. All α of one diagonal t + u follow from those of the one before, so it is walked
    diagonal by diagonal, whole rows and batches at once.

    logits float32 [B, T, U + 1, V]; lengths int64 [B] from 1; symbols int64 [B, U], counts int64
    [B]: what lies behind either is not looked at, and has no gradient.
    """
    scores = logits.log_softmax(-1)
    rows, steps, places, _ = logits.shape
    blanks = scores[..., blank]
    wanted = symbols[:, None, :, None].expand(-1, steps, -1, -1)
    emitted = scores[:, :, :-1].gather(-1, wanted)[..., 0]
    emitted = torch.cat([emitted, emitted.new_full((rows, steps, 1), _NEVER)], dim=2)
    diagonal_blanks, diagonal_emitted = _by_diagonal(blanks), _by_diagonal(emitted)
    first = blanks.new_full((rows, places), _NEVER)
    first[:, 0] = 0.0
    never = blanks.new_full((rows, 1), _NEVER)
    alphas = [first]
    for number in range(steps + places - 2):
        stayed = alphas[-1] + diagonal_blanks[:, number]
        moved = alphas[-1] + diagonal_emitted[:, number]
        alphas.append(torch.logaddexp(stayed, torch.cat([never, moved[:, :-1]], dim=1)))
    row, last = torch.arange(rows, device=logits.device), lengths - 1
    ends = torch.stack(alphas, dim=1)[row, last + counts, counts]
    return -(ends + blanks[row, last, counts])


def _by_diagonal(lattice: Tensor) -> Tensor:
    """[B, T, U + 1] as [B, T + U, U + 1]: entry (n, u) is that of step n - u; never outside."""
    _, steps, places = lattice.shape
    place = torch.arange(places, device=lattice.device)
    step = torch.arange(steps + places - 1, device=lattice.device)[:, None] - place
    inside = (step >= 0) & (step < steps)
    skewed = lattice[:, step.clamp(0, steps - 1), place]
    return torch.where(inside, skewed, _NEVER)
