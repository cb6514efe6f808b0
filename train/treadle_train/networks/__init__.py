"""Networks made of cells: what a recipe trains and an exporter captures."""

from treadle_train.networks.classifier import Classifier
from treadle_train.networks.forecaster import Forecaster
from treadle_train.networks.generator import Generator
from treadle_train.networks.language_model import LanguageModel
from treadle_train.networks.network import Encoding, Network
from treadle_train.networks.tagger import Tagger
from treadle_train.networks.transducer import Transducer

__all__ = [
    "Classifier",
    "Encoding",
    "Forecaster",
    "Generator",
    "LanguageModel",
    "Network",
    "Tagger",
    "Transducer",
]
