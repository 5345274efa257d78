"""Signed releases: whoever holds a key says "these are the files of this revision", in the OpenSSF model-signing format.

Private keys never come here: ``headwater release sign``, or ``model_signing sign key``, makes the signature on its owner's machine; the site checks it
against its own files and the public key, and keeps it.
"""
