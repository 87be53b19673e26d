"""Who signs pictures: a certificate chain and a private key, made here or brought along."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CHAIN, KEY = "chain.pem", "key.pem"
VALID_FOR = timedelta(days=3650)


class Identity(NamedTuple):
    """Who signs: certificates in PEM, the signer's first, and its private key."""

    chain: str
    key: str

    @classmethod
    def make(cls) -> "Identity":
        """A new one, with an authority of its own, since C2PA wants the signer's certificate to be issued by another.

        The authority's key is forgotten: it never issues another.
        """
        authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        chain = [_certificate(own, authority, leaf=True), _certificate(authority, authority, leaf=False)]
        return cls("".join(chain), _pem(own))

    @classmethod
    def open(cls, folder: str | Path) -> "Identity":
        """The identity of a folder, `chain.pem` and `key.pem`; a new one is written where there is none.

        Raises:
            OSError: the folder cannot be read or written.
        """
        chain, key = Path(folder, CHAIN), Path(folder, KEY)
        if not chain.exists() and not key.exists():
            made = cls.make()
            chain.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            key.touch(mode=0o600)
            key.write_text(made.key)
            chain.write_text(made.chain)
        if missing := [str(file) for file in (chain, key) if not file.exists()]:
            raise OSError(
                f"the identity `{folder}` lacks `{missing[0]}`; bring it, or name an empty folder for a new one"
            )
        return cls(chain.read_text(), key.read_text())


def _certificate(own: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey, *, leaf: bool) -> str:
    issuer, subject = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "spt")])
        for name in ("spt authority", "spt" if leaf else "spt authority")
    )
    uses = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    uses |= {"encipher_only": False, "decipher_only": False}
    now, issued_by = datetime.now(UTC), authority.public_key()
    made = (
        x509.CertificateBuilder(issuer, subject, own.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(not leaf, None if leaf else 0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=leaf, key_cert_sign=not leaf, crl_sign=not leaf, **uses), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issued_by), critical=False)
    )
    if leaf:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
