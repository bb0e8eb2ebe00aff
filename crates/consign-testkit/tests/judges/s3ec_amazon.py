"""Puts and gets objects with Amazon's S3 Encryption Client for Python.

    s3ec_amazon.py put|get|refuse CASES

CASES is JSON: {"bucket", "kms_key", "aes_key", "rsa_pem", "cases": [{"key", "file", "format", "wrap",
"context", "suffix"}]}. `put` puts each file; `get` gets each object and compares it with the file; `refuse` gets
each object and fails where the client opens it. Endpoint and credentials come from the environment.
"""

import json
import sys

import boto3
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.keyring import S3Keyring
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

FORMATS = {
    "v2": (AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF,
           CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT, b"AES/GCM/NoPadding"),
    "v3": (AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
           CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, b"115"),
}


class RawKeyring(S3Keyring):
    """The raw keyrings, which the client for Python has not, within its own pipeline."""

    def __init__(self, aes, rsa, suite):
        self.aes, self.rsa, self.suite = aes, rsa, suite

    def on_encrypt(self, materials):
        raise NotImplementedError

    def on_decrypt(self, materials, encrypted_data_keys=None):
        materials = super().on_decrypt(materials, encrypted_data_keys)
        wrapped = materials.encrypted_data_keys[0]
        data = wrapped.encrypted_data_key
        if wrapped.key_provider_info == "AES/GCM":
            materials.plaintext_data_key = AESGCM(self.aes).decrypt(data[:12], data[12:], self.suite)
        else:
            assert wrapped.key_provider_info == "RSA-OAEP-SHA1", wrapped.key_provider_info
            oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
            text = self.rsa.decrypt(data, oaep)
            assert text[0] == 32 and text[33:] == self.suite, "another suite"
            materials.plaintext_data_key = text[1:33]
        return materials


what, path = sys.argv[1:]
given = json.load(open(path))
aes = bytes.fromhex(given["aes_key"])
rsa = serialization.load_pem_private_key(given["rsa_pem"].encode(), password=None)


def client(case):
    suite, policy, name = FORMATS[case["format"]]
    if case["wrap"] == "kms":
        keyring = KmsKeyring(boto3.client("kms"), given["kms_key"])
    else:
        keyring = RawKeyring(aes, rsa, name)
    config = S3EncryptionClientConfig(
        keyring=keyring, encryption_algorithm=suite, commitment_policy=policy)
    return S3EncryptionClient(boto3.client("s3"), config)


for case in given["cases"]:
    s3 = client(case)
    where = {"Bucket": given["bucket"], "Key": case["key"]}
    if case["suffix"]:
        where["InstructionFileSuffix"] = case["suffix"]
    if case["context"]:
        where["EncryptionContext"] = case["context"]
    if what == "put":
        with open(case["file"], "rb") as plain:
            s3.put_object(Body=plain.read(), **where)
        continue
    try:
        opened = s3.get_object(**where)["Body"].read()
    except Exception as error:
        if what == "refuse":
            continue
        sys.exit("%s: %s: %s" % (case, type(error).__name__, error))
    if what == "refuse":
        sys.exit("%s: opened" % case)
    with open(case["file"], "rb") as plain:
        if opened != plain.read():
            sys.exit("%s: other content" % case)
print(len(given["cases"]))
