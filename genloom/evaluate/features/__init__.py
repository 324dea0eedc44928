"""What media are compared in: a file for each set of features, named by the media whose values it reads."""
