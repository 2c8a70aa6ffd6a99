"""Parts of tools: the live tool box, and the client of Meta's Marketing API."""
