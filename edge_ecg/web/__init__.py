"""The live page of a daemon, its metrics and its health check, over HTTP. Needs the extra ``web``; read-only."""
