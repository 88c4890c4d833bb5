"""Models: one file each."""

from zoo.models.autoencoder import Autoencoder as Autoencoder
from zoo.models.beta_tcvae import BetaTCVAE as BetaTCVAE
from zoo.models.beta_vae import BetaVAE as BetaVAE
from zoo.models.beta_vae import CapacityVAE as CapacityVAE
from zoo.models.class_style_vae import ClassStyleVAE as ClassStyleVAE
from zoo.models.completion_cvae import CompletionCVAE as CompletionCVAE
from zoo.models.completion_cvae import CompletionNetwork as CompletionNetwork
from zoo.models.cvae import CVAE as CVAE
from zoo.models.factor_vae import FactorVAE as FactorVAE
from zoo.models.hierarchical_vae import HierarchicalVAE as HierarchicalVAE
from zoo.models.joint_vae import JointVAE as JointVAE
from zoo.models.ladder_vae import LadderVAE as LadderVAE
from zoo.models.semi_supervised_vae import SemiSupervisedVAE as SemiSupervisedVAE
from zoo.models.stacked_vae import StackedVAE as StackedVAE
from zoo.models.vae import VAE as VAE
from zoo.models.vamp_vae import HierarchicalVampVAE as HierarchicalVampVAE
from zoo.models.vamp_vae import VampVAE as VampVAE
from zoo.models.vq_vae import VQVAE as VQVAE
