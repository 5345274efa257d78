"""Revisions and files: reading trees and histories, moving refs, and commits that arrive through the API."""
