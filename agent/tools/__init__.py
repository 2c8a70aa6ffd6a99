"""What tools are made of: the live tool box, and the client of Meta's Marketing API."""
