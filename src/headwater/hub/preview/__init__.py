"""First looks into files, for pages and for the index; each bounded in size, memory and time.

preview.table(source, "train.csv")        # Table(columns, rows, truncated, types, n_rows); CSV, JSON lines, Parquet
preview.notebook(data, link_base=…)       # safe HTML
preview.highlight(text, "train.py")       # safe HTML with pygments' classes, a line an element
preview.safetensors_header(source)        # WeightsHead(tensors, metadata, n_parameters, …)
preview.gguf_header(source)
"""

from headwater.hub.preview.code import highlight, knows
from headwater.hub.preview.notebooks import notebook
from headwater.hub.preview.tables import CannotPreview, Table, is_table, table
from headwater.hub.preview.weights import BadWeights, Tensor, WeightsHead, gguf_header, safetensors_header

__all__ = [
    "BadWeights",
    "CannotPreview",
    "Table",
    "Tensor",
    "WeightsHead",
    "gguf_header",
    "highlight",
    "is_table",
    "knows",
    "notebook",
    "safetensors_header",
    "table",
]
