"""Repositories, revisions and files, and the doors that real clients use: Hugging Face, git, LFS, Xet, pages."""
