# atelier-server alone, without LibTorch: it admits, queues and dispatches; workers run elsewhere. The shipped models are in the image
# because the server tells a worker of the same machine which folder to load from.
#   docker build -f docker/server.Dockerfile -t atelier-server .
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
RUN docker/runtime-packages build/release/bin/atelier-server >/tmp/packages \
 && for part in atelier-server models licences; do \
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
EXPOSE 8001 8002
CMD ["atelier-server", "--data-dir", "/data", "--listen", "0.0.0.0:8001", "--metrics-listen", "0.0.0.0:8002", "--local-workers", "0"]
