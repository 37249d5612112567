# The ground station: receives, archives, acknowledges. No torch: only what `ground receive` imports.
#   docker build -f docker/ground.Dockerfile -t onboard-detect:ground .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY onboard onboard
COPY ground ground
RUN python -m venv /opt/onboard \
    && /opt/onboard/bin/pip install --no-cache-dir --no-compile . "typer>=0.15" "rich>=13" "pystac>=1.11,<2"

FROM python:${PYTHON}
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin onboard \
    && install -d -o onboard -g onboard /archive /key
COPY --from=build /opt/onboard /opt/onboard
COPY docker/ground.sh /opt/
ENV PATH=/opt/onboard/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /archive
VOLUME ["/archive", "/key"]
EXPOSE 5005/udp
# the port is bound by this container as long as the station listens
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["grep", "-q", ":138D ", "/proc/net/udp"]
CMD ["sh", "/opt/ground.sh"]
