"""Scoring against expert annotations: matching of beats and figures of classifiers. numpy only."""
