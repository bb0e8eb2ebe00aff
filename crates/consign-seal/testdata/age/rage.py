"""Seals and opens standard input with the library that rage is made of.

rage.py seal RECIPIENT...    keys of age or of SSH
rage.py open FILE            an identity of age or of SSH
rage.py conceal FILE         for the passphrase in the file
rage.py reveal FILE          with it
"""

import sys

import pyrage


def recipient(text):
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    return kind.Recipient.from_str(text)


def identity(path):
    text = open(path).read()
    if "PRIVATE KEY" in text:
        return pyrage.ssh.Identity.from_buffer(text.encode())
    return pyrage.x25519.Identity.from_str(text.strip())


def main(what, *words):
    given = sys.stdin.buffer.read()
    if what == "seal":
        made = pyrage.encrypt(given, [recipient(word) for word in words])
    elif what == "open":
        made = pyrage.decrypt(given, [identity(words[0])])
    else:
        passphrase = open(words[0]).read()
        work = pyrage.passphrase.encrypt if what == "conceal" else pyrage.passphrase.decrypt
        made = work(given, passphrase)
    sys.stdout.buffer.write(made)


main(*sys.argv[1:])
