"""Networks made of cells: what a recipe trains and an exporter captures."""

from treadle_train.networks.classifier import Classifier
from treadle_train.networks.forecaster import Forecaster
from treadle_train.networks.language_model import LanguageModel
from treadle_train.networks.network import Network
from treadle_train.networks.tagger import Tagger
from treadle_train.networks.transducer import Transducer

__all__ = ["Classifier", "Forecaster", "LanguageModel", "Network", "Tagger", "Transducer"]
