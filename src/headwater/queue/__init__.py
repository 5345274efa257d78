"""Durable short jobs in the product's own database, so that a job and the change it follows commit together."""

from headwater.queue.jobs import Job, claim, count_by_state, fail, find_due, finish, put, renew
from headwater.queue.runner import Handler, Runner

__all__ = ["Handler", "Job", "Runner", "claim", "count_by_state", "fail", "find_due", "finish", "put", "renew"]
