"""Where frames come from: sources of every kind, and the loop that captures from one."""
