"""Networks made of cells: what a recipe trains and an exporter captures."""

from treadle_train.networks.classifier import Classifier
from treadle_train.networks.ctc import CTCTransducer
from treadle_train.networks.forecaster import Forecaster
from treadle_train.networks.generator import Generator
from treadle_train.networks.language_model import LanguageModel
from treadle_train.networks.network import Encoding, Network
from treadle_train.networks.ngrams import NgramEmbedding
from treadle_train.networks.rnnt import RNNTransducer
from treadle_train.networks.speech_transducer import SpeechTransducer
from treadle_train.networks.tagger import Tagger
from treadle_train.networks.transducer import Transducer

__all__ = [
    "CTCTransducer",
    "Classifier",
    "Encoding",
    "Forecaster",
    "Generator",
    "LanguageModel",
    "Network",
    "NgramEmbedding",
    "RNNTransducer",
    "SpeechTransducer",
    "Tagger",
    "Transducer",
]
