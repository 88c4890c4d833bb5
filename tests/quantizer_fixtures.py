"""What the PyTorch library of vector quantizers makes of fixed weights: the fixtures of
test_quantizers.py.

    pip install torch vector-quantize-pytorch
    python tests/quantizer_fixtures.py

writes tests/goldens/quantizers.npz, which names the versions.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "goldens" / "quantizers.npz"
K, D, DEPTH = 8, 6, 3
LEVELS = (8, 6, 5)
DECAY = 0.9


def main():
    import torch
    from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, VectorQuantize

    generator = np.random.default_rng(0)

    def normal(*shape):
        return generator.normal(size=shape).astype(np.float32)

    x, cotangent, books = normal(3, 4, D), normal(3, 4, D), normal(DEPTH, K, D)
    results = {"x": x, "cotangent": cotangent, "books": books}

    def quantizer(codebook, **arguments):
        layer = VectorQuantize(dim=D, codebook_size=K, eps=1e-9, decay=DECAY, **arguments)
        layer._codebook.embed.data[:] = torch.tensor(codebook)
        layer._codebook.embed_avg.data[:] = torch.tensor(codebook)
        return layer

    def run(name, layer, of, shape=None):
        """Outputs and the gradient with regard to x, as training sees them."""
        layer.train()
        tensor = torch.tensor(of, requires_grad=True)
        quantized, codes, *_ = layer(tensor)
        up = torch.tensor(cotangent if shape is None else cotangent[..., :shape])
        (quantized * up).sum().backward()
        results[f"{name}_quantized"] = quantized.detach().numpy()
        results[f"{name}_codes"] = codes.numpy().astype(np.int32)
        results[f"{name}_gradient"] = tensor.grad.numpy()

    no_cost = {"commitment_weight": 0.0}
    straight = quantizer(books[0], rotation_trick=False, **no_cost)
    run("straight_through", straight, x)
    results["counts"] = straight._codebook.cluster_size.numpy()[0]
    results["codebook"] = straight._codebook.embed.numpy()[0]
    run("rotation", quantizer(books[0], rotation_trick=True, **no_cost), x)

    unit = books[0] / np.linalg.norm(books[0], axis=-1, keepdims=True)
    cosine = quantizer(unit, use_cosine_sim=True, rotation_trick=False, **no_cost)
    run("cosine", cosine, x)

    residual = ResidualVQ(dim=D, num_quantizers=DEPTH, codebook_size=K)
    for layer, book in zip(residual.layers, books, strict=True):
        layer._codebook.embed.data[:] = torch.tensor(book)
    residual.eval()
    with torch.no_grad():
        quantized, codes, _ = residual(torch.tensor(x))
    results["residual_quantized"] = quantized.numpy()
    results["residual_codes"] = codes.numpy().astype(np.int32)

    run("fsq", FSQ(levels=list(LEVELS)), x[..., :3] * 2.0, shape=3)

    free = LFQ(dim=D, entropy_loss_weight=0.1, commitment_loss_weight=0.25)
    free.train()
    tensor = torch.tensor(0.1 * x, requires_grad=True)
    (quantized, codes, loss), parts = free(tensor, inv_temperature=10.0, return_loss_breakdown=True)
    loss.backward()
    results["lookup_free_quantized"] = quantized.detach().numpy()
    results["lookup_free_codes"] = codes.numpy().astype(np.int32)
    results["lookup_free_gradient"] = tensor.grad.numpy()
    results["lookup_free_loss"] = loss.detach().numpy()
    results["lookup_free_parts"] = np.array([float(part) for part in parts], np.float32)

    names = ("torch", "vector-quantize-pytorch")
    results["versions"] = np.array([f"{name} {version(name)}" for name in names])
    np.savez_compressed(FILE, **results)
    print(f"{FILE}: {FILE.stat().st_size} bytes, {', '.join(results['versions'])}")


if __name__ == "__main__":
    main()
