"""A run from plan to outputs: configuration, workspace, steps."""
