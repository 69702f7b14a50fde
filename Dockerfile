# Built from the hashed lock alone. Pin the digest of the base image in your own registry.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/sidecar \
    && /opt/sidecar/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
# The second line takes out what only the building needed: the build group of the lock, and pip.
RUN /opt/sidecar/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/sidecar/bin/pip uninstall --yes editables hatchling packaging pathspec pluggy \
       tomlkit trove-classifiers pip

FROM python:3.12-slim
COPY --from=build /opt/sidecar /opt/sidecar
COPY --chmod=0555 deploy/probe.py /usr/local/bin/probe
# Where state is, and the working directory: the only place that is written to. Mount a volume here.
RUN install --directory --owner=10001 --group=10001 --mode=0770 /var/lib/sidecar
ENV PATH=/opt/sidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/sidecar
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["probe", "/livez"]
# It listens on loopback, until SIDECAR_SERVER__HOST and the keys that go with it say otherwise.
ENTRYPOINT ["sidecar"]
CMD ["serve"]
