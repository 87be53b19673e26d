"""What pictures say of where they come from, and whether a change shows."""

import io
import stat

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from spt_dist.cli import app
from spt_dist.identity import Identity
from spt_dist.provenance import MEDIA_TYPES, Notary, Origin, Sealer, describe, encode, read

ORIGIN = Origin("generate", "box", "0123abcd", "request-1")
FORMATS = ("png", "jpeg", "webp")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_says_that_it_is_generated_and_by_what(pixels, format):
    found = read(Sealer().encode(pixels, format, ORIGIN))
    assert found.text == ORIGIN.text
    assert "not a photograph" in found.text
    assert (found.seal, found.known, found.signer) == ("whole", False, "spt")
    assert {name: found.origin[name] for name in ORIGIN._fields} == ORIGIN._asdict()


@pytest.mark.parametrize("format", FORMATS)
def test_pixels_are_those_of_the_bare_file(pixels, format):
    marked, bare = (
        Image.open(io.BytesIO(c)) for c in (Sealer().encode(pixels, format, ORIGIN), encode(pixels, format))
    )
    np.testing.assert_array_equal(np.asarray(marked), np.asarray(bare))


def test_an_animation_is_signed_too(pixels):
    buffer = io.BytesIO()
    frames = [Image.fromarray(pixels), Image.fromarray(pixels[::-1])]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], **describe("gif", ORIGIN.text))
    found = read(Sealer().sign(buffer.getvalue(), "gif", ORIGIN))
    assert (found.text, found.seal) == (ORIGIN.text, "whole")


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_byte_breaks_the_seal(pixels, format):
    content = bytearray(Sealer().encode(pixels, format, ORIGIN))
    content[-40 if format == "jpeg" else content.index(b"IDAT") + 60 if format == "png" else -30] ^= 1
    assert read(bytes(content)).seal == "broken"


def test_a_seal_of_another_picture_is_broken(pixels):
    """The manifest of one picture, glued into another of the same size."""
    first, second = (Sealer().encode(each, "png", ORIGIN) for each in (pixels, pixels[::-1].copy()))
    start, end = first.index(b"caBX") - 4, first.index(b"IDAT") - 4
    glued = second[: second.index(b"caBX") - 4] + first[start:end] + second[second.index(b"IDAT") - 4 :]
    assert read(glued).seal == "broken"


def test_the_switch_leaves_the_text_or_nothing(pixels):
    text, off = (read(Sealer(mode).encode(pixels, "png", ORIGIN)) for mode in ("text", "off"))
    assert (text.text, text.seal) == (ORIGIN.text, "none")
    assert (off.text, off.seal, off.origin) == ("", "none", {})


def test_a_signer_is_known_by_its_certificate(pixels, tmp_path):
    content = Sealer("c2pa", str(tmp_path / "own")).encode(pixels, "png", ORIGIN)
    own, other = Identity.open(tmp_path / "own"), Identity.make()
    assert read(content, own.chain).known
    assert not read(content, other.chain).known
    assert Identity.open(tmp_path / "own") == own  # kept, not made again
    assert stat.S_IMODE((tmp_path / "own" / "key.pem").stat().st_mode) == 0o600


def test_half_an_identity_is_never_completed(tmp_path):
    Identity.open(tmp_path)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(OSError, match=r"lacks `.*key\.pem`"):
        Sealer("c2pa", str(tmp_path))
    assert not (tmp_path / "key.pem").exists()


def test_an_identity_that_cannot_sign_is_named():
    first, second = Identity.make(), Identity.make()
    for wrong in (Identity("no certificate", first.key), Identity(first.chain, second.key)):
        with pytest.raises(ValueError, match="the identity cannot sign"):
            Notary(wrong)


def test_no_picture_of_a_stranger_is_a_traceback(pixels):
    for content in (b"", b"x" * 100, encode(pixels, "png")[:60]):
        with pytest.raises(ValueError, match="no readable picture"):
            read(content)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    with pytest.raises(ValueError, match=", ".join(MEDIA_TYPES).upper()):
        read(buffer.getvalue())


def test_verify_reads_it_to_people(pixels, tmp_path):
    sealed, bare = tmp_path / "sealed.png", tmp_path / "bare.png"
    own = str(tmp_path / "own")
    sealed.write_bytes(Sealer("c2pa", own).encode(pixels, "png", ORIGIN))
    bare.write_bytes(encode(pixels, "png"))
    run = CliRunner(env={"COLUMNS": "200"}).invoke
    good = run(app, ["verify", str(sealed), "--trust", f"{own}/chain.pem"])
    assert good.exit_code == 0
    for words in (ORIGIN.text, "whole: no byte was changed", "0123abcd", "request-1", "known by"):
        assert words in good.output
    Identity.open(tmp_path / "other")
    assert run(app, ["verify", str(sealed), "--trust", str(tmp_path / "other" / "chain.pem")]).exit_code == 1
    missing = run(app, ["verify", str(bare)])
    assert missing.exit_code == 1
    assert "none: nothing proves" in missing.output
