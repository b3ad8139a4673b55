module github.com/fluxcd/image-reflector-controller/api

go 1.26.0

require (
	github.com/fluxcd/pkg/apis/acl v0.10.0
	github.com/fluxcd/pkg/apis/meta v1.31.0
	k8s.io/apimachinery v0.36.2
	sigs.k8s.io/controller-runtime v0.24.1
)
