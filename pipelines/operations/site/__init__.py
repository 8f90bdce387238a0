"""The event catalogue: the topics as a static site, for the teams that read or write them. Nothing in it is written
twice: words are those of the topics' folders and of docs/, figures those of the topic catalogue and the grants."""
