"""What is dropped in training: recurrent weights, whole symbols; nothing outside of training."""

import pytest
import torch

from treadle_train.cells import CELLS, make_cell
from treadle_train.networks import LanguageModel, Transducer
from treadle_train.networks.dropout import SymbolDropout


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_weights_drop_once_a_sequence(name: str) -> None:
    """The same as stepping with the weights that one mask leaves, packed rows and full ones."""
    torch.manual_seed(0)
    cell = make_cell(name, 3, 8)
    cell.recurrent_dropout = 0.5
    x = torch.randn(4, 6, 3)
    for lengths in (None, torch.tensor([6, 2, 4, 1])):
        torch.manual_seed(1)
        outputs, _ = cell.unroll(x, lengths=lengths)
        torch.manual_seed(1)
        kept = cell.dropped_recurrent_weights().detach()
        assert (kept == 0).float().mean() > 0.2
        plain = make_cell(name, 3, 8).eval()
        plain.load_state_dict({**cell.state_dict(), "recurrent_weights": kept})
        torch.testing.assert_close(outputs, plain.unroll(x, lengths=lengths)[0])


@pytest.mark.parametrize("name", CELLS)
def test_dropped_weights_get_no_gradient(name: str) -> None:
    """What a mask hides does not learn from that sequence."""
    cell = make_cell(name, 3, 8)
    cell.recurrent_dropout = 0.5
    torch.manual_seed(2)
    outputs, _ = cell.unroll(torch.randn(4, 6, 3))
    (gradient,) = torch.autograd.grad(outputs.sum(), cell.recurrent_weights)
    torch.manual_seed(2)
    torch.randn(4, 6, 3)
    hidden = cell.dropped_recurrent_weights() == 0
    assert not gradient[hidden].any()
    assert gradient[~hidden].any()


def test_no_dropout_takes_no_random_numbers() -> None:
    """A rate of 0 leaves training as it was, to the bit."""
    cell = make_cell("lstm", 3, 8)
    before = torch.get_rng_state()
    cell.unroll(torch.zeros(2, 3, 3))
    SymbolDropout(0.0)(torch.zeros(2, 3, 4))
    assert torch.equal(before, torch.get_rng_state())


def test_symbols_lose_their_whole_vector() -> None:
    """Each vector is kept, larger, or zero; the mean stays."""
    torch.manual_seed(0)
    dropped = SymbolDropout(0.25)(torch.ones(100, 40, 5))
    kept = dropped[..., 0] != 0
    torch.testing.assert_close(dropped, kept[..., None].expand(-1, -1, 5) / 0.75)
    assert abs(kept.float().mean().item() - 0.75) < 0.03


@pytest.mark.parametrize("kind", ["language model", "transducer"])
def test_evaluation_drops_nothing(kind: str) -> None:
    """Two runs in eval mode are one; in training they differ."""
    token = torch.randint(0, 7, (3, 5))

    def logits() -> torch.Tensor:
        if isinstance(network, LanguageModel):
            return network.sequence(token, None, network.initial_state(3))[0]
        context, state = network.encode(token, torch.full((3,), 5))
        return network.sequence(token, None, network.initial_state(3) | state, context)[0]

    network: LanguageModel | Transducer
    if kind == "language model":
        network = LanguageModel(7, 4, 6, symbol_dropout=0.3, recurrent_dropout=0.3)
    else:
        network = Transducer(7, 7, 4, 6, symbol_dropout=0.3, recurrent_dropout=0.3)
    assert not torch.equal(logits(), logits())
    network.eval()
    assert torch.equal(logits(), logits())
