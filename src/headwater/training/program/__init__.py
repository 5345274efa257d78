"""Programs of runs that train and convert. Only the processes of such runs import what is here."""
