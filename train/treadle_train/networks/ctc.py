"""Connectionist temporal classification: a symbol or the blank at every step.

Graves, Fernández, Gomez & Schmidhuber, "Connectionist temporal classification", 2006.

Notation: B batch, T time, U symbols of a transcript, V symbols with the blank.
"""

from torch import Tensor
from torch.nn import functional

from treadle_train.networks.speech_transducer import BLANK, SpeechTransducer


class CTCTransducer(SpeechTransducer):
    """The outputs are logits [.., V]: of the symbol that goes on or begins, or of none (blank)."""

    kind = "ctc"

    def nats(self, x: Tensor, lengths: Tensor, symbols: Tensor, counts: Tensor) -> Tensor:
        """As the base has it; infinite where a transcript has no alignment."""
        log_probabilities = self.encode(x, lengths).float().log_softmax(-1)
        return functional.ctc_loss(
            log_probabilities.transpose(0, 1),
            symbols,
            lengths,
            counts,
            blank=BLANK,
            reduction="none",
        )
