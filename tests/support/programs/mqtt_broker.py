"""An MQTT broker (amqtt, MQTT 3.1.1) as a process: ``python mqtt_broker.py PORT``, for everybody.

It prints a line when it listens. A process of its own can be killed, as brokers are, and what amqtt
leaves open ends with it.
"""

import asyncio
import sys

from amqtt.broker import Broker

ANONYMOUS = "amqtt.plugins.authentication.AnonymousAuthPlugin"


async def serve(port: str) -> None:
    """Serve until killed."""
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    plugins = {ANONYMOUS: {"allow_anonymous": True}}
    await Broker({"listeners": {"default": listener}, "plugins": plugins}).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
