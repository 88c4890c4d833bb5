"""Models: one file each."""

from zoo.models.hierarchical_vae import HierarchicalVAE as HierarchicalVAE
from zoo.models.vae import VAE as VAE
from zoo.models.vae import VAEOutput as VAEOutput
