"""The command line: `entry` finds the verbs and runs one."""
