# The monitor from its wheel, for a user without rights. No test builds this image, for no engine runs
# where they do; `make release` lints it.
#
#   docker build --tag ecg-monitor .
#   docker run --rm -it ecg-monitor replay demo --plain
#   docker run --rm --volume "$PWD/records:/records:ro" ecg-monitor scan /records
#
# A hub listens on loopback, or requires keys: docs/deploy.md. Of a hub with keys the health is asked
# with `--key` and `--server-key`, so give its own --health-cmd.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY models models
COPY monitor monitor
COPY pipeline pipeline
COPY replay replay
ENV PIP_CONSTRAINT=constraints.txt
RUN python -m venv /opt/monitor \
    && /opt/monitor/bin/pip install --no-cache-dir --only-binary :all: '.[mqtt]'

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home monitor
COPY --from=build /opt/monitor /opt/monitor
ENV PATH=/opt/monitor/bin:$PATH PYTHONUNBUFFERED=1
# monitor, by number for hosts that do not know the name.
USER 10001
WORKDIR /home/monitor
# The kernels, compiled for the machine that builds the image; another kind compiles them again.
RUN ["python", "-c", "from pipeline.stream.warmup import compile_kernels; compile_kernels()"]
# Logs and keys: what has to outlive the container.
VOLUME ["/home/monitor/.local/state/ecg-monitor", "/home/monitor/.config/ecg-monitor"]
EXPOSE 5570 5571 5572 5573 5574
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["monitor", "status", "--json"]
ENTRYPOINT ["monitor"]
CMD ["hub"]
