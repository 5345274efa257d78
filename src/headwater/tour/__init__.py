"""The tour: from a model and texts that are on this machine to a graded, served model, through a running site as any client would.

``headwater tour`` walks it. It speaks with the site over HTTP alone; only the account it acts as, and a token for the time of the walk,
are made by way of the data folder, as the site's own commands make them.
"""
