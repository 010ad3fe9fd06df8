# syntax=docker/dockerfile:1
# Both stages use the same Debian release, so that the operator runs with the glibc that it was linked against. To pin the images, pass
# digests: --build-arg BUILDER=docker.io/library/rust@sha256:…
ARG BUILDER=docker.io/library/rust:1.95.0-bookworm
# Not `static`, because the operator is linked with glibc and libgcc. The image has the certificates of public authorities, and no shell.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS builder
WORKDIR /build
# Overrides rust-toolchain.toml, which also asks for components that only development needs. Paths and the build time must not get into the
# image, so that builds are reproducible.
ENV RUSTUP_TOOLCHAIN=1.95.0 \
    CARGO_PROFILE_RELEASE_STRIP=true \
    RUSTFLAGS="--remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo=cargo"
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
COPY . .
# Installs the operator only. The kubectl plugin is another package (crates/kubectl-nuvo).
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo install --locked --path . --root /out --no-track && \
    find /out -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="nuvo-operator" \
      org.opencontainers.image.description="Runs nuvo data pipelines as Kubernetes objects" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=builder /out/bin/ /usr/local/bin/
# As a number, because Kubernetes cannot verify that a user name is not root.
USER 65532:65532
# glibc otherwise keeps memory for each thread that the others cannot use: a tenth of what 10,000 active runs take.
ENV MALLOC_ARENA_MAX=1
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/nuvo-operator"]
CMD ["run"]
