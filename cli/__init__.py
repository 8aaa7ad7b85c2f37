"""The `recon` command: parse, call a job, print, exit."""
