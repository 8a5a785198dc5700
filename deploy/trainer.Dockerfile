# What a night needs: reading recordings, games, tuning, evaluation, export.
#
#   docker build -f deploy/trainer.Dockerfile -t robo-dialog-trainer .
#   docker run -v /srv/robo-dialog:/srv/robo-dialog robo-dialog-trainer nightly --config /srv/robo-dialog/nightly.yaml
#
# INDEX is pip's second index; without it torch comes with CUDA from PyPI, for machines that have a GPU.
# EXTRAS=mcap,ray,ray-serve makes the image of deploy/ray, without torch.
# Pin PYTHON by digest where images must be the same from one build to the next.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON}
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libxcb1 wget \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 65532 --no-create-home --shell /usr/sbin/nologin robo-dialog
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY robo_dialog robo_dialog
COPY episodes episodes
COPY server server
ARG INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=train,mcap,sign
RUN python -m pip install --no-cache-dir --extra-index-url "${INDEX}" -c constraints.txt ".[${EXTRAS}]"
ENV HOME=/tmp HF_HUB_OFFLINE=1 \
  MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=17179869184 GLIBC_TUNABLES=glibc.malloc.hugetlb=1
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["robo-dialog"]
CMD ["--help"]
