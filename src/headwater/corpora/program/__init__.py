"""The program of runs of kind ``corpus``: started as ``python -m headwater.corpora.program``, never loaded by the server."""
