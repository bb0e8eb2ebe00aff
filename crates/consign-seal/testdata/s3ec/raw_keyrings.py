"""Seals and opens in the S3 Encryption Client formats with keys that a party holds itself.

What Amazon's client for Python has not: the raw AES and RSA keyrings and the formats of old, as the
clients for Java and Ruby have them. All cryptography is that of the `cryptography` package.

    raw_keyrings.py FOLDER seal KIND    plain -> sealed, metadata
    raw_keyrings.py FOLDER open         sealed, metadata -> plain

FOLDER holds aes.key (32 bytes) and rsa.pem.
"""

import base64
import json
import os
import pathlib
import sys

from cryptography.hazmat.primitives import hashes, hmac, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_unwrap

folder = pathlib.Path(sys.argv[1])
aes = (folder / "aes.key").read_bytes()
rsa = serialization.load_pem_private_key((folder / "rsa.pem").read_bytes(), password=None)
OAEP = rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
SUITE = bytes([0, 0x73])
CEK = {"v2": "AES/GCM/NoPadding", "v3": "115"}


def b64(data):
    return base64.b64encode(data).decode()


def pad(data):
    padder = padding.PKCS7(128).padder()
    return padder.update(data) + padder.finalize()


def encrypt(mode, key, data):
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def derive(key, message_id):
    extract = hmac.HMAC(message_id, hashes.SHA512())
    extract.update(key)
    prk = extract.finalize()
    expand = lambda label, length: HKDFExpand(hashes.SHA512(), length, SUITE + label).derive(prk)
    return expand(b"DERIVEKEY", 32), expand(b"COMMITKEY", 28)


def wrap(how, key, cek):
    if how == "aes":
        iv = os.urandom(12)
        return "AES/GCM", "02", iv + AESGCM(aes).encrypt(iv, key, cek.encode())
    if how == "aeswrap":
        return "AESWrap", None, aes_key_wrap(aes, key)
    text = bytes([len(key)]) + key + cek.encode()
    return "RSA-OAEP-SHA1", "22", rsa.public_key().encrypt(text, OAEP)


def seal(kind, plain):
    version, how = kind.split("-", 1)
    key = os.urandom(32)
    if version == "v3":
        message_id = os.urandom(28)
        derived, commitment = derive(key, message_id)
        _, name, wrapped = wrap(how, key, CEK[version])
        sealed = AESGCM(derived).encrypt(bytes([1] * 12), plain, SUITE)
        return sealed, {"x-amz-c": "115", "x-amz-d": b64(commitment), "x-amz-i": b64(message_id),
                        "x-amz-3": b64(wrapped), "x-amz-w": name, "x-amz-m": "{\"a\": \"b\"}"}
    if kind == "v2-cbc-aeswrap" or version == "v1":
        iv = os.urandom(16)
        sealed = encrypt(modes.CBC(iv), key, pad(plain))
        metadata = {"x-amz-iv": b64(iv), "x-amz-matdesc": "{}"}
        if version == "v2":
            name, _, wrapped = wrap("aeswrap", key, None)
            return sealed, metadata | {"x-amz-key-v2": b64(wrapped), "x-amz-wrap-alg": name,
                                       "x-amz-cek-alg": "AES/CBC/PKCS5Padding"}
        if how == "aes":
            wrapped = encrypt(modes.ECB(), aes, pad(key))
        else:
            wrapped = rsa.public_key().encrypt(key, rsa_padding.PKCS1v15())
        return sealed, metadata | {"x-amz-key": b64(wrapped), "x-amz-unencrypted-content-length": str(len(plain))}
    iv = os.urandom(12)
    name, _, wrapped = wrap(how, key, CEK[version])
    return AESGCM(key).encrypt(iv, plain, None), {
        "x-amz-iv": b64(iv), "x-amz-matdesc": "{}", "x-amz-key-v2": b64(wrapped), "x-amz-tag-len": "128",
        "x-amz-wrap-alg": name, "x-amz-cek-alg": CEK[version]}


def unwrap(metadata, version):
    wrapped = base64.b64decode(metadata["x-amz-3" if version == "v3" else "x-amz-key-v2"])
    cek = CEK[version].encode()
    if metadata.get("x-amz-w", metadata.get("x-amz-wrap-alg")) in ("02", "AES/GCM"):
        return AESGCM(aes).decrypt(wrapped[:12], wrapped[12:], cek)
    text = rsa.decrypt(wrapped, OAEP)
    assert text[0] == 32 and text[33:] == cek, "another suite"
    return text[1:33]


def unseal(metadata, sealed):
    version = "v3" if "x-amz-c" in metadata else "v2"
    key = unwrap(metadata, version)
    if version == "v2":
        return AESGCM(key).decrypt(base64.b64decode(metadata["x-amz-iv"]), sealed, None)
    derived, commitment = derive(key, base64.b64decode(metadata["x-amz-i"]))
    assert b64(commitment) == metadata["x-amz-d"], "another data key"
    return AESGCM(derived).decrypt(bytes([1] * 12), sealed, SUITE)


if sys.argv[2] == "seal":
    sealed, metadata = seal(sys.argv[3], (folder / "plain").read_bytes())
    (folder / "sealed").write_bytes(sealed)
    (folder / "metadata").write_text(json.dumps(metadata))
else:
    metadata = json.loads((folder / "metadata").read_text())
    (folder / "plain").write_bytes(unseal(metadata, (folder / "sealed").read_bytes()))
