# syntax=docker/dockerfile:1

# Compiles on the platform of the builder for that of the image: docker buildx build --platform=linux/amd64,linux/arm64 .
FROM --platform=$BUILDPLATFORM golang:1.26-alpine AS build
RUN apk add --no-cache ca-certificates
WORKDIR /src

# The modules change less often than the code.
COPY go.mod go.sum ./
COPY api/go.mod api/go.sum api/
RUN go mod download

COPY main.go ./
COPY api/ api/
COPY internal/ internal/

ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w" -o /image-reflector-controller .

# One static binary and the certificates it trusts: no shell, no package manager.
FROM scratch
LABEL org.opencontainers.image.title="image-reflector-controller" \
      org.opencontainers.image.description="Scans image repositories and selects the latest images" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY LICENSE /licenses/LICENSE
COPY --from=build /image-reflector-controller /usr/local/bin/image-reflector-controller

# A number, so that runAsNonRoot can be checked.
USER 65534:65534
EXPOSE 8080 9440
ENTRYPOINT ["/usr/local/bin/image-reflector-controller"]
