"""Slots of the memory and the settings of `pipeline.signal.kernels.condition.watch`."""

LEAD_OFF, SATURATED, FLAT, NOISE, MOTION, OVERLAID = 1, 2, 3, 5, 9, 10

QRS, HIGH = 1, 2  # rows of the filtered signal
FLAT_SLOPES, WAVES, WAVE_SPAN, _, UNKNOWN = range(5)  # columns of the measures of fibrillation

BLOCK_SAMPLES = 36  # a tenth of a second: shorter than what lies between two QRS

# Slots of `watch`'s counters; FLAT_FOR and RECOVERING count blocks, PASSED beats, MOVING and STEADY
# measures. RECOVERING has the sign of the jump.
(
    TICK, FLAT_FOR, MASKED, STATE, ABSENT, MASK_CODE, NOISY_AS, BLOCK, HELD, PASSED, MOVING,
    STEADY, SHAPE, ODD, RECOVERING, JUMPED_AT, SEEN_AT, COUNTERS,
) = range(18)  # fmt: skip

# Settings of `watch`; `pipeline.signal.segmenter` fills them.
(
    FLAT_SPAN, FLAT_BLOCKS, MASKED_MOST, RELEASE, NOISE_BLOCKS, LEAST_SPAN, NOISY_SHARE,
    QUIET_SHARE, DROWNED_SHARE, SMALL_SHARE, PASS_OVER, REST_SHARE, WAVES_SHARE, MOTION_SHARE,
    MOTION_ROWS, REST_ROWS, MOST_REST, LIKE, ODD_BEATS, STILL_SHARE, STILL_BLOCKS,
    JUMP, JUMP_SHARE, RETURN, RETURN_BLOCKS, QRS_FLOOR, SETTINGS,
) = range(27)  # fmt: skip

# Slots of `watch`'s extremes: of the flat blocks so far, and of the current block; then the sum of
# the current block above the QRS band, and the peak in it.
FLAT_LOW, FLAT_TOP, LOW, TOP, HIGH_SUM, QRS_PEAK, EXTREMES = range(7)

# Rows of `watch`'s blocks: the mean above the QRS band, the peak in it, and the signal's level.
HIGH_MEAN, QRS_LARGEST, LEVEL, BLOCK_ROWS = range(4)
LEVEL_BLOCKS = 5  # half a second
LOST_BLOCKS = 15  # 1.5 s
BLOCKS_KEPT = 36  # 3.6 s: more than a beat found late lies back

# Rows of what is usual: the span, and the peak in the QRS band, of the latest beats, and
# how much of the time between them rests.
SPAN, LOUD, REST, USUAL_ROWS = range(4)
OWN_SPAN = BLOCKS_KEPT * BLOCK_SAMPLES  # samples whose span has to do until beats are known
USUAL_BEATS = 8  # as many as the detector's levels
MEDIAN = USUAL_BEATS  # the slot behind them; 0 until so many are known

# The shapes of the latest beats: every fourth sample around R. Two are compared as they lie, and up
# to two of these apart.
SHAPE_STEP, SHAPE_BEFORE, SHAPE_SIZE, SHAPE_PLAY = 4, 48, 29, 2
