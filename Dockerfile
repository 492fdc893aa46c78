# syntax=docker/dockerfile:1
# make image builds it. The result holds the binary, CA certificates and the licence: no shell, no libc, no writable file.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
# Modules first: they change less often than the sources.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /leasehold ./cmd/proxy

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
# The time of the commit: the same sources give the same image.
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Leasehold" \
      org.opencontainers.image.description="Caching reverse proxy for HashiCorp Vault" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /leasehold /leasehold
# A number, so that Kubernetes' runAsNonRoot can check it without /etc/passwd.
USER 65532:65532
EXPOSE 8100
# Docker's own probes; Kubernetes has its own and does not look at this one. It asks http://127.0.0.1:8100: where the listener is elsewhere set LEASEHOLD_ADDR.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/leasehold", "healthcheck"]
# The root may be read-only. What Leasehold writes (sinks, pid_file) it writes where its configuration says: mount a volume there.
ENTRYPOINT ["/leasehold"]
