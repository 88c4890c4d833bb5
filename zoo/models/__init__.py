"""Models: one file each."""

from zoo.models.vae import VAE as VAE
from zoo.models.vae import VAEOutput as VAEOutput
