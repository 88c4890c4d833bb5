"""PyTorch and pythae."""

import tempfile

from contenders.task import CODE_DIM, LEARNING_RATE, NUM_CODES, Loop, timed


def torch_networks(task):
    """Modules (encoder, decoder); images are [B, C, H, W]."""
    from torch import nn

    latent_dim, (height, width, channels) = task.latent_dim, task.image_shape
    if task.model in ("residual", "tokens"):
        maps = task.model == "tokens"
        return residual_networks(latent_dim, height, width, channels, maps=maps)
    if not task.convolutional:
        size = height * width
        hidden = lambda inputs: [nn.Linear(inputs, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU()]  # noqa: E731
        encoder = nn.Sequential(nn.Flatten(), *hidden(size), nn.Linear(400, 2 * latent_dim))
        return encoder, nn.Sequential(
            *hidden(latent_dim), nn.Linear(400, size), nn.Unflatten(1, (1, height, width))
        )
    down = [
        layer for inputs in (1, 32, 32, 32) for layer in (nn.Conv2d(inputs, 32, 4, 2, 1), nn.ReLU())
    ]
    up = [layer for _ in range(3) for layer in (nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU())]
    encoder = nn.Sequential(
        *down, nn.Flatten(), nn.Linear(4 * 4 * 32, 256), nn.ReLU(), nn.Linear(256, 2 * latent_dim)
    )
    start = [
        nn.Linear(latent_dim, 256),
        nn.ReLU(),
        nn.Linear(256, 4 * 4 * 32),
        nn.ReLU(),
        nn.Unflatten(1, (32, 4, 4)),
    ]
    return encoder, nn.Sequential(*start, *up, nn.ConvTranspose2d(32, 1, 4, 2, 1))


def residual_networks(latent_dim, height, width, channels, filters=(32, 64, 128), maps=False):
    """Those of `zoo.networks.ResidualEncoder` and `ResidualDecoder`, by their defaults; with `maps`
    from and to maps of codes' vectors."""
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.change = nn.Sequential(
                nn.SiLU(),
                nn.Conv2d(channels, channels, 3, 1, 1),
                nn.SiLU(),
                nn.Conv2d(channels, channels, 3, 1, 1),
            )

        def forward(self, x):
            return x + self.change(x)

    down, before = [], channels
    for level, width_of_level in enumerate(filters):
        stride = 1 if level == 0 else 2
        down += [nn.Conv2d(before, width_of_level, 3, stride, 1), Residual(width_of_level)]
        before = width_of_level
    scale = 2 ** (len(filters) - 1)
    start = (filters[-1], height // scale, width // scale)
    size = start[0] * start[1] * start[2]
    up = []
    for level in reversed(range(len(filters))):
        up.append(Residual(filters[level]))
        if level:
            up += [nn.Conv2d(filters[level], filters[level - 1], 1), nn.Upsample(scale_factor=2)]
    if maps:
        last, first = [nn.Conv2d(start[0], CODE_DIM, 1)], [nn.Conv2d(CODE_DIM, start[0], 1)]
    else:
        last = [nn.Flatten(), nn.Linear(size, 2 * latent_dim)]
        first = [nn.Linear(latent_dim, size), nn.Unflatten(1, start)]
    return nn.Sequential(*down, nn.SiLU(), *last), nn.Sequential(
        *first,
        *up,
        nn.SiLU(),
        nn.Conv2d(filters[0], channels, 3, 1, 1),
    )


def torch_device():
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def count_torch_parameters(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def torch_eager(task, compiled=False, bfloat16=False, channels_last=False):
    """A hand-written loop over images that stay on the device, fused Adam."""
    import torch
    from torch.nn import functional

    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder, decoder = (network.to(device) for network in torch_networks(task))
    optimizer = torch.optim.Adam(
        [*encoder.parameters(), *decoder.parameters()], LEARNING_RATE, fused=True
    )
    # [N, C, H, W].
    images = torch.from_numpy(task.images).permute(0, 3, 1, 2).contiguous().to(device)
    if channels_last:
        layout = torch.channels_last
        encoder, decoder = (network.to(memory_format=layout) for network in (encoder, decoder))
        images = images.to(memory_format=layout)

    quantizer = torch_quantizer(task, device)

    def mean_loss_of_codes(images):
        grey = images.float() / 255
        x = (torch.rand_like(grey) < grey).float()
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            vectors = encoder(x).float()
            quantized, _, commitment = quantizer(vectors)
            logits = decoder(quantized).float()
        cross_entropy = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        # The library's is a mean over places and elements.
        return cross_entropy / len(x) + commitment.sum() * vectors[0].numel()

    def mean_loss(images):
        if quantizer is not None:
            return mean_loss_of_codes(images)
        grey = images.float() / 255
        x = (torch.rand_like(grey) < grey).float()
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            loc, log_scale = encoder(x).float().chunk(2, dim=-1)
            logits = decoder(loc + log_scale.exp() * torch.randn_like(loc)).float()
        log_likelihood = (
            -functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
            .flatten(1)
            .sum(1)
        )
        kl = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
        return (kl - log_likelihood).mean()

    if compiled:
        # One program for full batches and one for the short last: with dynamic shapes full batches
        # would run the general one.
        mean_loss = torch.compile(mean_loss, dynamic=False)

    @timed
    def run_epoch():
        total = torch.zeros([], device=device)
        for rows in torch.randperm(len(images), device=device).split(task.batch_size):
            loss = mean_loss(images[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        return total.item() / len(images)  # waits for the device

    return Loop(run_epoch, count_torch_parameters(encoder, decoder), torch_device())


def torch_quantizer(task, device):
    """The codebook of `tokens`, which has no parameters; None of other models."""
    if task.model != "tokens":
        return None
    from vector_quantize_pytorch import VectorQuantize

    return VectorQuantize(
        CODE_DIM,
        NUM_CODES,
        decay=0.99,
        commitment_weight=0.25,
        rotation_trick=False,
        accept_image_fmap=True,
    ).to(device)


def torch_bfloat16(task):
    return torch_eager(task, bfloat16=True)


def torch_channels_last(task):
    return torch_eager(task, channels_last=True)


def torch_channels_last_bfloat16(task):
    return torch_eager(task, bfloat16=True, channels_last=True)


def torch_channels_last_compile(task):
    return torch_eager(task, compiled=True, channels_last=True)


def torch_compile(task):
    return torch_eager(task, compiled=True)


def torch_compile_bfloat16(task):
    return torch_eager(task, compiled=True, bfloat16=True)


def pythae(task):
    """pythae's model and the epochs of its trainer, progress bar included."""
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.network = torch_networks(task)[0]

        def forward(self, x):
            embedding, log_covariance = self.network(x).chunk(2, dim=-1)
            return ModelOutput(embedding=embedding, log_covariance=log_covariance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.network = torch_networks(task)[1]

        def forward(self, z):
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    # [N, 1, H, W].
    grey = torch.from_numpy(task.images).permute(0, 3, 1, 2).contiguous().float() / 255
    config = VAEConfig(
        input_dim=tuple(grey.shape[1:]), latent_dim=task.latent_dim, reconstruction_loss="bce"
    )
    model = VAE(config, Encoder(), Decoder())
    # The trainer makes folders at its start, and writes nothing in an epoch.
    with tempfile.TemporaryDirectory() as directory:
        settings = BaseTrainerConfig(
            directory, per_device_train_batch_size=task.batch_size, learning_rate=LEARNING_RATE
        )
        trainer = BaseTrainer(
            model, BaseDataset(grey, torch.zeros(len(grey))), training_config=settings
        )
        trainer.prepare_training()

    @timed
    def run_epoch():
        trainer.train_step(epoch=1)
        trainer.callback_handler.on_epoch_end(training_config=settings)  # closes the progress bar

    return Loop(run_epoch, count_torch_parameters(model), torch_device())
