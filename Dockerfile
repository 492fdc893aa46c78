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
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /leasehold /leasehold
# A number, so that Kubernetes' runAsNonRoot can check it without /etc/passwd.
USER 65532:65532
EXPOSE 8100
# The root may be read-only. What Leasehold writes (sinks, pid_file) it writes where its configuration says: mount a volume there.
ENTRYPOINT ["/leasehold"]
