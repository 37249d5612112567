# The flight software on Debian slim, arm64 and amd64: the flight dependencies alone, no root, a root that may be read-only.
#   docker buildx build --platform linux/arm64,linux/amd64 -f docker/flight.Dockerfile -t onboard-detect:flight .
#   docker run --rm --read-only --tmpfs /tmp -v onboard:/data onboard-detect:flight onboard-detect sim:7 --out /data
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY onboard onboard
RUN python -m venv /opt/onboard && /opt/onboard/bin/pip install --no-cache-dir --no-compile .

FROM python:${PYTHON}
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin onboard \
    && install -d -o onboard -g onboard /data /key
COPY --from=build /opt/onboard /opt/onboard
COPY docker/satellite.sh docker/link.py /opt/
ENV PATH=/opt/onboard/bin:$PATH PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 XDG_CACHE_HOME=/tmp/cache
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/key"]
# alive is what can load its model and encode: the bundle's checksums, the runtime and the processor
HEALTHCHECK --interval=60s --timeout=30s --start-period=10s --retries=3 \
    CMD ["python", "-c", "from onboard.infer.bundle import load_bundle as b; from onboard.infer.runtime import load_encoder as e; e(b('s2-10'))"]
CMD ["onboard-detect", "--help"]
