# atelier-worker for CPUs, with the part of LibTorch that it needs. The server's program is here too (a few MB), because a training job
# runs in a process that the server starts: a machine that trains runs "atelier-server --local-workers auto" from this image.
#   docker build -f docker/worker-cpu.Dockerfile -t atelier-worker-cpu .
# The stage "build" is the same in every Dockerfile here, so that a builder with a layer cache runs it once.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS build
ENV ATELIER_CACHE=/opt/atelier
WORKDIR /src
COPY scripts/install-deps scripts/install-deps
COPY scripts/deps scripts/deps
RUN scripts/install-deps && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake --preset release -DATELIER_TESTS=OFF \
 && cmake --build --preset release --parallel "$(nproc)" --target atelier-server atelier-worker atelier
RUN docker/runtime-packages build/release/bin/atelier-worker build/release/bin/atelier-server >/tmp/packages \
 && for part in atelier-worker atelier-server libtorch features models licences; do \
      cmake --install build/release --strip --prefix /out --component "$part" || exit; \
    done

FROM ${BASE}
COPY --from=build /tmp/packages /tmp/packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends $(cat /tmp/packages) \
 && rm -rf /var/lib/apt/lists/* /tmp/packages \
 && useradd --system --uid 10001 --no-create-home --home-dir /data atelier \
 && install -d -o atelier -m 700 /data
COPY --from=build /out /usr/local
USER atelier
VOLUME /data
CMD ["atelier-worker", "--server", "unix:/data/run/worker.sock"]
