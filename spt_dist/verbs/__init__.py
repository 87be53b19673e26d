"""The verbs of `spt`, a module per trade. Importing them costs no torch: each verb imports what it needs."""
