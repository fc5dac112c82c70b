"""What must run: stages, their jobs, the fingerprints that decide, and the store that keeps what was built.

Snakemake decides by whether a state file exists; this package sees to it that a state file exists exactly where the result is valid.
DVC decides by content. Both look at the same things, so neither can bless a stale result. See ``docs/explanation/workflow.md``.
"""
