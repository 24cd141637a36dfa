# atelier, the command-line client.
#   docker build -f docker/client.Dockerfile -t atelier-client .
#   docker run --rm --network host --user "$(id -u)" -v "$PWD:/work" atelier-client stylize dress.jpg -o out.jpg --model van-gogh
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
RUN docker/runtime-packages build/release/bin/atelier >/tmp/packages \
 && for part in atelier licences; do \
      cmake --install build/release --strip --prefix /out --component "$part" || exit; \
    done

FROM ${BASE}
COPY --from=build /tmp/packages /tmp/packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends $(cat /tmp/packages) \
 && rm -rf /var/lib/apt/lists/* /tmp/packages \
 && useradd --system --uid 10001 --no-create-home atelier
COPY --from=build /out /usr/local
USER atelier
WORKDIR /work
ENTRYPOINT ["atelier"]
