"""Sequoia 2 (pysequoia) as a judge: keys and messages of RFC 9580.

sequoia.py generate PROFILE SUITE > secret    PROFILE: RFC4880 or RFC9580; SUITE: Cv25519, P256, RSA3k, ...
sequoia.py certificate SECRET > certificate
sequoia.py encrypt CERTIFICATE [SECRET] < plain > sealed
sequoia.py decrypt SECRET [CERTIFICATE] < sealed > plain
"""

import sys

import pysequoia


def read(path):
    with open(path, "rb") as file:
        return file.read()


def generate(profile, suite):
    key = pysequoia.Tsk.generate(
        user_id="sequoia",
        profile=getattr(pysequoia.Profile, profile),
        cipher_suite=getattr(pysequoia.CipherSuite, suite),
    )
    return str(key).encode()


def certificate(secret):
    return bytes(pysequoia.Tsk.from_bytes(read(secret)).extract_certificate())


def encrypt(recipient, signer=None):
    if signer:
        signer = pysequoia.Tsk.from_bytes(read(signer)).signer()
    recipients = [pysequoia.Cert.from_bytes(read(recipient))]
    plain = sys.stdin.buffer.read()
    return pysequoia.encrypt(plain, recipients=recipients, signer=signer, armor=False)


def decrypt(secret, signer=None):
    decryptor = pysequoia.Tsk.from_bytes(read(secret)).decryptor()
    signers = [pysequoia.Cert.from_bytes(read(signer))] if signer else []
    store = (lambda ids: signers) if signer else None
    opened = pysequoia.decrypt(sys.stdin.buffer.read(), decryptor=decryptor, store=store)
    if signer and not opened.valid_sigs:
        raise SystemExit("no valid signature")
    return opened.bytes


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*sys.argv[2:])
    sys.stdout.buffer.write(result)
