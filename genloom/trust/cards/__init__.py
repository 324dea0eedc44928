"""Cards of models and data sets, filled from the lineage: for people, for hubs and as Croissant."""
