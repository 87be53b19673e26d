"""Networks by path: what a file is, and what is said when it is another one."""

import hashlib

import pytest
import torch

from spt_dist import scripted

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Nvidias(torch.nn.Module):
    """The interface of NVIDIA's file: softmax probabilities, or features, as the arguments say."""

    def forward(self, img: torch.Tensor, return_features: bool = False, no_output_bias: bool = False) -> torch.Tensor:
        features = img.float().flatten(2).mean(2)
        if return_features:
            return features
        logits = features / 8
        if not no_output_bias:
            logits = logits + torch.arange(3.0)
        return logits.softmax(1)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "inception.pt"
    torch.jit.script(Nvidias()).save(str(path))
    return path


def test_a_file_is_what_its_hash_says(file, monkeypatch):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    network, origin = scripted.load_inception(str(file), "FID", 0, {"inception": digest.upper()})
    assert origin == f"inception.pt, SHA-256 {digest[:12]}"
    assert network.num_features == 3
    monkeypatch.setitem(scripted.KNOWN, digest, "a friend")
    assert scripted.load_inception(str(file), "FID", 0)[1].endswith(f"{digest[:12]}, a friend")


def test_another_file_than_expected_is_refused(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(scripted.MissingNetworkError) as refused:
        scripted.load_inception(str(file), "FID", 0, {"inception": "0" * 64})
    for words in (digest, "0" * 64, "copy it again", f"--set evaluation.sha256.inception={digest}"):
        assert words in str(refused.value)


def test_logits_of_nvidias_file_have_no_bias(file):
    images = torch.randint(0, 256, (4, 3, 9, 7), dtype=torch.uint8)
    network, _ = scripted.load_inception(str(file), "IS", scripted.Inception.LOGITS)
    expected = (images.double().mean((2, 3)) / 8).softmax(1)
    torch.testing.assert_close(network(images).double().softmax(1), expected, rtol=1e-5, atol=1e-6)
    features, _ = scripted.load_inception(str(file), "FID", scripted.Inception.FEATURES)
    torch.testing.assert_close(features(images), images.float().mean((2, 3)))
