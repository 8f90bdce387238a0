"""The auditor: reads what is on the topics with its own eyes, and recomputes it by its own rules.

Nothing of the domain, the processors or the state is imported here, so that no mistake of theirs is repeated.
"""
