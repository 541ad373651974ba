"""From detections, scores and signal states to the alarms that people get.

``kinds`` lists the alarms there are; ``settings`` holds the numbers they go by; the rules of the
signal (``signal_rules``, ``rate_rules``) wait for no score, those of the beats (``beat_rules``)
for the score of each; ``life`` turns what the rules find into alarms that begin, latch, are
acknowledged and end. What is decided, and why, stands in ``docs/alarms.md``.
"""
