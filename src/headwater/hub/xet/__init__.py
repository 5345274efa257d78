"""Xet: the content-addressed store that current Hugging Face clients upload every large file through.

Xorbs are kept as raw payload + chunk index (docs/decisions has why), files as lists of terms. Rights are per file, never per
xorb: who may read a file gets links to exactly its byte ranges.
"""
