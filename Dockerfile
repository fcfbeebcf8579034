# Targets: `gpu` (the default) and `cpu`, the ZFScope service; `torchserve`, a TorchServe that runs the service's
# forward passes; `page`, the page in the browser, a client of the service without models and torch.
#
#   docker build --target cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu --tag zfscope:cpu .
#   docker build --tag zfscope:gpu .
#
# CUDA comes with pip's wheels, so both variants use the same slim base image.

FROM docker.io/library/python:3.11-slim-bookworm AS build
# Extra package index for pip, to select a build of torch; empty: pip's own configuration.
ARG TORCH_INDEX=
WORKDIR /src
RUN python -m venv /opt/zfscope
ENV PATH=/opt/zfscope/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# Dependencies form a layer of their own, so that a change of the source does not reinstall them.
COPY pyproject.toml constraints.txt ./
COPY docker/requirements.py docker/

FROM build AS build-cpu
RUN python docker/requirements.py cpu otel > requirements.txt \
    && pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        --requirement requirements.txt
COPY . .
RUN pip install --no-deps .

FROM build-cpu AS build-torchserve
RUN python docker/requirements.py torchserve > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt

FROM build AS build-gpu
RUN python docker/requirements.py gpu otel > requirements.txt \
    && pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        --requirement requirements.txt
COPY . .
RUN pip install --no-deps .

FROM build AS build-page
RUN python docker/requirements.py page > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN pip install --no-deps .

# Sample photos of the page, from the packages that bring them, whose dependencies are not needed. README.txt has
# the author and the licence of china.jpg (CC BY 2.0); chelsea.png is in the public domain.
FROM build AS samples
RUN pip install --constraint constraints.txt --no-deps --target /tmp/packages scikit-image scikit-learn \
    && install -D --mode=644 --target-directory=/srv/samples \
        /tmp/packages/sklearn/datasets/images/china.jpg \
        /tmp/packages/sklearn/datasets/images/README.txt \
        /tmp/packages/skimage/data/chelsea.png

FROM docker.io/library/python:3.11-slim-bookworm AS page
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin zfscope
ENV PATH=/opt/zfscope/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ZFSCOPE_PAGE_LISTEN=0.0.0.0:8080 \
    ZFSCOPE_PAGE_SAMPLES=/srv/samples
COPY --from=samples /srv/samples /srv/samples
COPY --from=build-page /opt/zfscope /opt/zfscope
COPY docker/page_health.py /usr/local/lib/zfscope/page_health.py
EXPOSE 8080
STOPSIGNAL SIGTERM
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 \
    CMD ["python", "/usr/local/lib/zfscope/page_health.py"]
ENTRYPOINT ["zfscope"]
CMD ["page", "--server", "zfscope:50051"]

FROM docker.io/library/python:3.11-slim-bookworm AS service
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin zfscope \
    && install --directory --owner zfscope --group zfscope /var/cache/zfscope
# The service writes only to /tmp and to the cache: the root file system may be read-only.
ENV PATH=/opt/zfscope/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ZFSCOPE_LISTEN=0.0.0.0:50051 \
    ZFSCOPE_STORE=/srv/models \
    ZFSCOPE_CACHE=/var/cache/zfscope
COPY model_store /srv/models
EXPOSE 50051
STOPSIGNAL SIGTERM
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["zfscope", "health"]
ENTRYPOINT ["zfscope"]
CMD ["serve"]

FROM service AS torchserve
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-torchserve /opt/zfscope /opt/zfscope
COPY docker/torchserve.sh /usr/local/bin/zfscope-torchserve
USER 10001:10001
WORKDIR /tmp
EXPOSE 7070
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/ping', timeout=5)"]
ENTRYPOINT ["zfscope-torchserve"]
CMD ["zfnet-imagenette"]

FROM service AS cpu
COPY --from=build-cpu /opt/zfscope /opt/zfscope

FROM service AS gpu
ENV ZFSCOPE_DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/zfscope /opt/zfscope
