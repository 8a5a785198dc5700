# The verdict server: no torch, no shell, not root, nothing to write to but /tmp.
#
#   docker build -f deploy/server.Dockerfile -t robo-dialog-server .
#   docker run --read-only --tmpfs /tmp -p 127.0.0.1:50051:50051 robo-dialog-server
#
# RUNTIME=gpu takes onnxruntime-gpu; CUDA and cuDNN are then to be mounted by the NVIDIA container toolkit.
# Pin DEBIAN by digest where images must be the same from one build to the next.
ARG DEBIAN=bookworm-slim

FROM debian:${DEBIAN} AS build
WORKDIR /src
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends binutils cmake g++ ninja-build python3-dev python3-pip \
  && rm -rf /var/cache/apt/archives
COPY constraints.txt ./
COPY deploy/image/opencv.sh deploy/image/
RUN deploy/image/opencv.sh /wheels
COPY pyproject.toml README.md LICENSE ./
COPY deploy/image deploy/image
COPY robo_dialog robo_dialog
COPY episodes episodes
COPY server server
ARG RUNTIME=cpu
RUN deploy/image/server-root.sh /image "${RUNTIME}" /wheels

FROM scratch
COPY --from=build /image /
ENV PATH=/usr/local/bin:/usr/bin PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["robo-dialog", "ready"]
ENTRYPOINT ["robo-dialog"]
# Inside a container, loopback is nobody's: whoever publishes the port gives certificate and tokens, or says this.
CMD ["serve", "--host", "0.0.0.0", "--insecure-allow-remote"]
