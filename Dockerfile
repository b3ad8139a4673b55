# syntax=docker/dockerfile:1

# Cross-compiles on the platform of the builder: docker buildx build --platform=linux/amd64,linux/arm64 .
# "make image" builds the same image without a daemon.
FROM --platform=$BUILDPLATFORM golang:1.26-alpine AS build
WORKDIR /src

# A separate layer, because modules change less often than code.
COPY go.mod go.sum ./
COPY api/go.mod api/go.sum api/
RUN go mod download

COPY *.go ./
COPY api/ api/
COPY internal/ internal/

ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=unknown
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags="-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /image-reflector-controller .

# One static binary, which contains its trusted certificate authorities: no shell, no package manager.
FROM scratch
ARG VERSION=dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="image-reflector-controller" \
      org.opencontainers.image.description="Scans image repositories and selects the latest images" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
COPY LICENSE /licenses/LICENSE
COPY --from=build /image-reflector-controller /usr/local/bin/image-reflector-controller

# Numeric, so that the kubelet can check runAsNonRoot.
USER 65532:65532
EXPOSE 8080 9440
ENTRYPOINT ["/usr/local/bin/image-reflector-controller"]
