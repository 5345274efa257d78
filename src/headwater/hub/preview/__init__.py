"""First looks into files, for pages and for the index: tables, notebooks, highlighted code, heads of weights."""
