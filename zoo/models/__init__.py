"""Models: one file each."""

from zoo.models.anomaly_model import AnomalyModel
from zoo.models.autoencoder import Autoencoder
from zoo.models.beta_tcvae import BetaTCVAE
from zoo.models.beta_vae import BetaVAE, CapacityVAE
from zoo.models.class_style_vae import ClassStyleVAE
from zoo.models.completion_cvae import CompletionCVAE, CompletionNetwork
from zoo.models.cvae import CVAE
from zoo.models.factor_vae import FactorVAE
from zoo.models.hierarchical_vae import HierarchicalVAE
from zoo.models.joint_vae import JointVAE
from zoo.models.ladder_vae import LadderVAE
from zoo.models.not_miwae import NotMIWAE
from zoo.models.residual_ladder import residual_ladder
from zoo.models.semi_supervised_vae import SemiSupervisedVAE
from zoo.models.stacked_vae import StackedVAE
from zoo.models.table_vae import table_vae
from zoo.models.two_level_vq_vae import TwoLevelVQVAE
from zoo.models.vae import VAE
from zoo.models.vamp_vae import HierarchicalVampVAE, VampVAE
from zoo.models.vq_vae import VQVAE

__all__ = [
    "CVAE",
    "VAE",
    "VQVAE",
    "AnomalyModel",
    "Autoencoder",
    "BetaTCVAE",
    "BetaVAE",
    "CapacityVAE",
    "ClassStyleVAE",
    "CompletionCVAE",
    "CompletionNetwork",
    "FactorVAE",
    "HierarchicalVAE",
    "HierarchicalVampVAE",
    "JointVAE",
    "LadderVAE",
    "NotMIWAE",
    "SemiSupervisedVAE",
    "StackedVAE",
    "TwoLevelVQVAE",
    "VampVAE",
    "residual_ladder",
    "table_vae",
]
