"""What a run of kind ``evaluate`` does, in a process of its own: ``python -m headwater.evaluation.program``."""
