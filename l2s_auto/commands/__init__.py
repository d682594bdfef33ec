"""What the commands share: options, values as a user types them, devices, exit codes."""
