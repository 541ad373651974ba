"""From detections, scores and signal states to alarms.

``kinds`` lists the alarms; ``settings`` holds their limits. The rules of the signal
(``signal_rules``, ``rate_rules``) wait for no score; those of the beats (``beat_rules``) wait for
the score of each. ``state_machine`` turns the conditions that the rules find into alarms
that begin, latch, are acknowledged and end; ``stream_alarms`` holds those of one stream.
``docs/alarms.md`` gives the rules and the reasons for them.
"""
