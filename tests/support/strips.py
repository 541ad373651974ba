"""Strips as whoever receives them reads them."""

from pipeline.schema.public import EncodedStrip, SignalStrip, decode_strip, encode_json


def read_back(strip: EncodedStrip) -> SignalStrip:
    """Return what a subscriber or a reader of the log gets."""
    return decode_strip(encode_json(strip))
