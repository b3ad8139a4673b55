module github.com/fluxcd/image-reflector-controller/hack/controlplane

go 1.26.0
