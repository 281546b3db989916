# Sluicegate's policy server in an image: docs/operations/image.md.
#
#   docker build --tag sluicegate .
#   docker run --read-only --volume ./gateway.yaml:/etc/sluicegate/gateway.yaml:ro sluicegate serve /etc/sluicegate/gateway.yaml
#
# Both stages begin with this. To pin what is in it: --build-arg PYTHON=python:3.13-slim-trixie@sha256:DIGEST
ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PYTHONDONTWRITEBYTECODE=1
WORKDIR /src

# What builds the wheel and lists what is in the image. None of it gets there. The request path is compiled
# (docs/decisions/0015-compiled.md); with --build-arg COMPILE=0 all is plain Python, and no compiler is installed.
ARG COMPILE=1
RUN [ "${COMPILE:-0}" = 0 ] || { apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; }

COPY k8s/image/build.lock ./
RUN python -m venv /build \
    && /build/bin/python -m pip install --require-hashes --no-deps -r build.lock

COPY k8s/image/requirements.lock ./
RUN python -m venv --without-pip /opt/sluicegate \
    && /build/bin/python -m pip --python /opt/sluicegate/bin/python install --no-compile --require-hashes --no-deps \
        -r requirements.lock

COPY pyproject.toml hatch_build.py hatch_build.h README.md LICENSE ./
COPY extproc extproc
COPY policies policies
COPY loadtests loadtests
COPY envoy envoy
# Compiling takes a minute or two. `check` fails if the lock file has not all that the wheel asks for.
RUN SLUICEGATE_COMPILE=${COMPILE} /build/bin/python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && /build/bin/python -m pip --python /opt/sluicegate/bin/python install --no-compile --no-deps --no-index dist/*.whl \
    && /build/bin/python -m pip --python /opt/sluicegate/bin/python check

RUN /build/bin/cyclonedx-py environment --output-reproducible --mc-type application --pyproject pyproject.toml \
        --output-file /opt/sluicegate/sbom.cdx.json /opt/sluicegate/bin/python
# Bytecode is not made when it runs: it may not write, and starts faster. Nor is it looked at whether a source is newer.
RUN /opt/sluicegate/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/sluicegate/lib

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="sluicegate" \
      org.opencontainers.image.description="The policy layer of an AI gateway: decides, meters and accounts for every LLM and MCP request at Envoy." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# No installer is left to whoever gets in. Both folders are the server's own, where no volume is put in their place.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    && mkdir -p /etc/sluicegate /run/sluicegate /var/lib/sluicegate \
    && chown 65532:65532 /run/sluicegate /var/lib/sluicegate \
    && chmod 0700 /run/sluicegate /var/lib/sluicegate
COPY --from=build /opt/sluicegate /opt/sluicegate
ENV PATH=/opt/sluicegate/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The user of Envoy's own image, too: a unix socket is its owner's alone.
USER 65532:65532
WORKDIR /var/lib/sluicegate
STOPSIGNAL SIGTERM
# Kubernetes takes no notice of it. Others: it asks at `server.admin`, and a configuration elsewhere needs another.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["sluicegate", "status", "/etc/sluicegate/gateway.yaml"]
ENTRYPOINT ["sluicegate"]
CMD ["serve", "/etc/sluicegate/gateway.yaml"]
