"""Every night anew: recordings become games, games a candidate, and the candidate champion, if it is good."""
