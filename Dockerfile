# syntax=docker/dockerfile:1
# Both stages are of the same Debian release, so that the glibc that is linked against is the one that is there. To pin what is pulled,
# hand in digests: --build-arg BUILDER=docker.io/library/rust@sha256:…
ARG BUILDER=docker.io/library/rust:1.95.0-bookworm
# Not `static`: the programs are linked with glibc and libgcc. It has the certificates of public authorities, and no shell.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS builder
WORKDIR /build
# rust-toolchain.toml asks for what only development needs, and the time of the build must not get into the image.
ENV RUSTUP_TOOLCHAIN=1.95.0 \
    CARGO_PROFILE_RELEASE_STRIP=true \
    RUSTFLAGS="--remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo=cargo"
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo install --locked --path . --root /out --no-track && \
    find /out -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="nuvo-operator" \
      org.opencontainers.image.description="Runs nuvo data pipelines as Kubernetes objects" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=builder /out/bin/ /usr/local/bin/
# As a number: Kubernetes cannot tell of a name whether it is root.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/nuvo-operator"]
CMD ["run"]
