"""The machine: devices, memory, and files that are whole or not there."""
