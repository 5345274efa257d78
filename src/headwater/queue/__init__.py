"""Durable short jobs in the product's own database, so that a job and the change it follows commit together."""
