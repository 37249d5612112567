# A Jetson with JetPack 6 (arm64 alone): the flight software with a Python 3.11 of its own. NOT CONFIRMED ON HARDWARE.
#   docker build -f docker/jetson.Dockerfile -t onboard-detect:jetson .
#   docker run --rm --read-only --tmpfs /tmp -v onboard:/data onboard-detect:jetson onboard-detect sim:7 --out /data
# ONNX Runtime runs on the CPU, where the bits of the latents are promised. For the GPU bring a wheel with NVIDIA's
# providers for Python 3.11 (PyPI has none for aarch64), and start with --runtime nvidia:
#   --build-arg ORT_WHEEL=https://.../onnxruntime_gpu-...-cp311-cp311-linux_aarch64.whl
#   -e ONBOARD_ORT_PROVIDERS=TensorrtExecutionProvider,CUDAExecutionProvider
ARG BASE=nvcr.io/nvidia/l4t-jetpack:r36.4.0

FROM ${BASE}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin onboard \
    && install -d -o onboard -g onboard /data /key
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY onboard onboard
ARG ORT_WHEEL=""
RUN python3.11 -m venv /opt/onboard \
    && /opt/onboard/bin/pip install --no-cache-dir . \
    && if [ -n "$ORT_WHEEL" ]; then \
        /opt/onboard/bin/pip uninstall --yes onnxruntime \
        && /opt/onboard/bin/pip install --no-cache-dir --no-deps "$ORT_WHEEL"; \
    fi
COPY docker/satellite.sh docker/link.py /opt/
ENV PATH=/opt/onboard/bin:$PATH PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 XDG_CACHE_HOME=/tmp/cache
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/key"]
HEALTHCHECK --interval=60s --timeout=30s --start-period=10s --retries=3 \
    CMD ["python", "-c", "from onboard.infer.bundle import load_bundle as b; from onboard.infer.runtime import load_encoder as e; e(b('s2-10'))"]
CMD ["onboard-detect", "--help"]
