# The front door: what each public name is, for type checkers, and for `zoo/__init__.py`, which
# imports a name when it is first used.

from . import data as data
from . import detection as detection
from . import evaluation as evaluation
from . import images as images
from . import layers as layers
from . import losses as losses
from . import models as models
from . import networks as networks
from . import objectives as objectives
from . import observations as observations
from . import plots as plots
from . import random as random
from . import schedules as schedules
from . import serving as serving
from .data import sprites as sprites
from .detection.detector import Detector as Detector
from .evaluation.likelihood import evaluate as evaluate
from .models.anomaly_model import AnomalyModel as AnomalyModel
from .models.autoencoder import Autoencoder as Autoencoder
from .models.beta_tcvae import BetaTCVAE as BetaTCVAE
from .models.beta_vae import BetaVAE as BetaVAE
from .models.beta_vae import CapacityVAE as CapacityVAE
from .models.class_style_vae import ClassStyleVAE as ClassStyleVAE
from .models.completion_cvae import CompletionCVAE as CompletionCVAE
from .models.completion_cvae import CompletionNetwork as CompletionNetwork
from .models.cvae import CVAE as CVAE
from .models.factor_vae import FactorVAE as FactorVAE
from .models.hierarchical_vae import HierarchicalVAE as HierarchicalVAE
from .models.joint_vae import JointVAE as JointVAE
from .models.ladder_vae import LadderVAE as LadderVAE
from .models.not_miwae import NotMIWAE as NotMIWAE
from .models.semi_supervised_vae import SemiSupervisedVAE as SemiSupervisedVAE
from .models.stacked_vae import StackedVAE as StackedVAE
from .models.table_vae import table_vae as table_vae
from .models.two_level_vq_vae import TwoLevelVQVAE as TwoLevelVQVAE
from .models.vae import VAE as VAE
from .models.vamp_vae import HierarchicalVampVAE as HierarchicalVampVAE
from .models.vamp_vae import VampVAE as VampVAE
from .models.vq_vae import VQVAE as VQVAE
from .observations.table import Table as Table
from .recipe import Dataset as Dataset
from .recipe import Recipe as Recipe
from .registry import list_recipes as list_recipes
from .runs import sweep as sweep
from .runs.training import train as train
from .serving.saved_model import export as export
from .store import pretrained as pretrained
from .store.pretrained import load as load

__version__: str
