"""What a recipe of kind ``evaluate`` calls its inputs and its output."""

MODEL, SUITE, RESULTS = "model", "suite", "results"
