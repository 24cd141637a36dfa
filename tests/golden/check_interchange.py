"""Checks with Python's PyTorch what Atelier wrote: atelier_state_dict.pth (worker/models/torch_pickle_writer) and
atelier_torchscript_*.pt (worker/models/torchscript_export), each a network filled with the numbers of reference.py. To write them anew:
ATELIER_WRITE_GOLDEN=tests/golden build/release/tests/worker_models_test --gtest_filter='*Golden*'.

Usage: check_interchange.py [PYTHON]
Goes on in ATELIER_PEERS_PYTHON, or else in PYTHON, where that is there (scripts/bench --peers installs one). Prints OK, fails, or ends
with 77 (skipped) where this Python has no PyTorch 2.11.
"""
import os
import sys

sys.dont_write_bytecode = True  # nothing is left in the source tree
other = os.environ.pop("ATELIER_PEERS_PYTHON", "") or "".join(sys.argv[1:2])
if other and os.path.exists(other):
    os.execv(other, [other, os.path.abspath(__file__)])
try:
    import torch

    from make_interchange import filled_transformer
    from make_networks import ResnetGenerator
    from make_pattern_networks import Generator
    from reference import fill, picture
except ImportError as error:
    print(f"skipped: this Python cannot check it ({error}); scripts/bench train --peers installs one that can")
    sys.exit(77)
if not torch.__version__.startswith("2.11."):
    print(f"skipped: torch is {torch.__version__} here, and the files are for 2.11")
    sys.exit(77)
torch.set_num_threads(1)  # tiny networks, and other tests beside

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = ((32, 40), (64, 48))


def check_state_dict(network):
    state = torch.load(os.path.join(HERE, "atelier_state_dict.pth"), weights_only=True)
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor), name
    loaded = ResnetGenerator(2, ngf=4).eval()
    loaded.load_state_dict(state, strict=True)
    for size in SIZES:
        assert torch.equal(loaded(picture(*size)), network(picture(*size)))


def check_torchscript(name, network, sizes=SIZES):
    program = torch.jit.load(os.path.join(HERE, f"atelier_torchscript_{name}.pt"))
    assert set(program.state_dict()) == set(network.state_dict()), name
    for size in sizes:
        difference = (program(picture(*size)) - network(picture(*size))).abs().max().item()
        print(name, size, difference)
        assert difference <= 1e-5
    odd = program(picture(37, 51))
    assert odd.shape == (1, 3, 37, 51) and odd.isfinite().all()


def check_dcgan():
    program = torch.jit.load(os.path.join(HERE, "atelier_torchscript_dcgan.pt"))
    network = Generator(8, 2).eval()
    network.load_state_dict(program.state_dict(), strict=True)
    noise = torch.arange(24).float().sin().reshape(3, 8)
    for z in (noise, noise[:, :, None, None]):
        difference = (program(z) - network(noise)).abs().max().item()
        print("dcgan", tuple(z.shape), difference)
        assert difference <= 1e-5


class Scaled(torch.nn.Module):
    """TransformerNet with [-1, 1] outside."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def state_dict(self):
        return self.network.state_dict()

    def forward(self, x):
        return (self.network((x + 1) * 127.5) / 127.5 - 1).clamp(-1, 1)


def main():
    resnet = ResnetGenerator(2, ngf=4).eval()
    fill(resnet)
    with torch.no_grad():
        check_state_dict(resnet)
        check_torchscript("resnet", resnet)
        check_torchscript("transformer", Scaled(filled_transformer()))
        check_dcgan()
    print("OK, torch", torch.__version__)


if __name__ == "__main__":
    main()
