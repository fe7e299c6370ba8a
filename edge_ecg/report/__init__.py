"""A day's figures for people and programs: text, JSON, a page."""
