"""The demonstration: simulated episodes, the real server, figures and one HTML page.

Files in the order of the run: `cases` (episodes to judge), `asking` (the server and its answers), `figures` (how good
they are), `page` (what a person looks at), `command` (the `robo-dialog demo` command).
"""
