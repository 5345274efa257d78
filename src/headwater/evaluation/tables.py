"""Results of evaluations, as they are looked for: what was asked of which model at which commit, and what came out.

The numbers are the run's own result; what each item got lies in the results repository.
"""

from sqlalchemy import Boolean, CheckConstraint, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from headwater.db import UtcDateTime, metadata

# One evaluation that ended well. The model is a repository at a commit; of an endpoint it is what that served, where that is known.
evaluation = Table(
    "evaluation",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True, autoincrement=False),
    Column("model_repo_id", ForeignKey("repository.id")),
    Column("model_commit", String(40)),
    Column("endpoint", String(200)),  # as the gateway calls it
    Column("suite_repo_id", ForeignKey("repository.id"), nullable=False),
    Column("suite_commit", String(40), nullable=False),
    Column("results_repo_id", ForeignKey("repository.id")),
    Column("results_commit", String(40)),
    Column("results_folder", Text, nullable=False, server_default=""),
    Column("command", Text, nullable=False),
    Column("harness", String(80), nullable=False),  # name and version of what asked
    Column("few_shot", Integer),  # None: as each task says
    Column("item_limit", Integer),  # None: all items
    Column("seed", Integer, nullable=False),
    Column("is_cut", Boolean, nullable=False, server_default="0"),  # more scores than are kept here
    Column("reproduces", ForeignKey("run.id")),  # the evaluation that this one repeats
    Column("ended_at", UtcDateTime, nullable=False),
    CheckConstraint("model_repo_id is not null or endpoint is not null", name="a_model_or_an_endpoint"),
    Index("ix_evaluation_model", "model_repo_id", "run_id"),
    Index("ix_evaluation_suite", "suite_repo_id", "run_id"),
    Index("ix_evaluation_reproduces", "reproduces"),
)

evaluation_score = Table(
    "evaluation_score",
    metadata,
    Column("run_id", ForeignKey("evaluation.run_id"), primary_key=True, autoincrement=False),
    Column("task", String(128), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("filter", String(64), primary_key=True),
    Column("place", Integer, nullable=False),  # in the order of the results
    Column("is_group", Boolean, nullable=False),
    Column("is_main", Boolean, nullable=False),  # the task's first metric, which stands for it in tables
    Column("ability", String(100), nullable=False, server_default=""),
    Column("version", String(40), nullable=False),
    Column("n_items", Integer),
    Column("value", Float, nullable=False),
    Column("stderr", Float),  # None: not known
    Column("is_higher_better", Boolean, nullable=False),
)
