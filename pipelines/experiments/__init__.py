"""What an experiment's triggers did: those who were to be told, against those who were held out by their hash."""
