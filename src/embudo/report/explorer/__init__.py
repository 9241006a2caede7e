"""The explorer: local pages in which a model is tried out, and a training watched.

``server`` answers the browser. What it shows is a `subject.Subject`: a page, facts for it, and calls.
"""
