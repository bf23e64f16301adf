"""The other end of the wire: what a device says, collected, proved complete, and played without hardware."""
