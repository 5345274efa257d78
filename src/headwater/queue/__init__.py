"""Durable short jobs in the product's own database, so that a job and the change it follows commit together."""

from headwater.queue.jobs import (
    FailedJob,
    Job,
    claim,
    count_by_state,
    fail,
    find_due,
    finish,
    list_failed,
    put,
    renew,
    retry_failed,
)
from headwater.queue.periodic import Turns
from headwater.queue.runner import Handler, Runner

__all__ = [
    "FailedJob",
    "Handler",
    "Job",
    "Runner",
    "Turns",
    "claim",
    "count_by_state",
    "fail",
    "find_due",
    "finish",
    "list_failed",
    "put",
    "renew",
    "retry_failed",
]
