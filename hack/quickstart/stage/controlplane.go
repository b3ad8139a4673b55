// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// ControlPlane is an etcd and a kube-apiserver. Nothing else of Kubernetes
// runs: no pod is ever started.
type ControlPlane struct {
	// Assets is the folder of the two programs.
	Assets string
	// Dir is where everything is kept that they write.
	Dir string
	// CRDs are files or folders of CustomResourceDefinitions to install.
	CRDs []string
	// Audit has the API server note every request in the file AuditLog.
	Audit bool

	env  *envtest.Environment
	logs []*os.File
}

// Start starts both, and installs the CRDs. Where it returns an error, nothing
// is left running.
func (p *ControlPlane) Start(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return err
	}
	_, err := p.env.Start() // it takes no context: to end it halfway would leave processes
	if err == nil {
		err = os.WriteFile(p.Kubeconfig(), p.env.KubeConfig, 0o600)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the control plane did not start: %w", err), p.Stop())
	}
	return nil
}

func (p *ControlPlane) prepare() error {
	etcd, apiserver := filepath.Join(p.Dir, "etcd"), filepath.Join(p.Dir, "kube-apiserver")
	for _, dir := range []string{etcd, apiserver} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	p.env = &envtest.Environment{
		BinaryAssetsDirectory:    p.Assets,
		CRDDirectoryPaths:        p.CRDs,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	p.env.ControlPlane.Etcd = &envtest.Etcd{Path: filepath.Join(p.Assets, "etcd"), DataDir: etcd}
	p.env.ControlPlane.GetAPIServer().Path = filepath.Join(p.Assets, "kube-apiserver")
	p.env.ControlPlane.GetAPIServer().CertDir = apiserver
	if p.Audit {
		if err := p.audit(filepath.Join(apiserver, "audit-policy.json")); err != nil {
			return err
		}
	}
	return p.openLogs()
}

// audit writes the policy that asks for a line for each request, with who asked
// for what, and without contents.
func (p *ControlPlane) audit(policyFile string) error {
	policy := fmt.Sprintf(`{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
		{"level": "Request", "users": [%q], "verbs": ["create", "update", "patch", "delete"]},
		{"level": "Metadata"}]}`, controllerUser)
	p.env.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policyFile).Set("audit-log-path", p.AuditLog())
	return os.WriteFile(policyFile, []byte(policy), 0o600)
}

// AuditLog is where the requests are noted that the API server answers, as JSON,
// an event of audit.k8s.io/v1 on each line.
func (p *ControlPlane) AuditLog() string { return filepath.Join(p.Dir, "audit.log") }

func (p *ControlPlane) openLogs() error {
	for _, name := range []string{"etcd.log", "kube-apiserver.log"} {
		file, err := os.OpenFile(filepath.Join(p.Dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		p.logs = append(p.logs, file)
	}
	etcd, apiserver := p.env.ControlPlane.Etcd, p.env.ControlPlane.GetAPIServer()
	etcd.Out, etcd.Err = p.logs[0], p.logs[0]
	apiserver.Out, apiserver.Err = p.logs[1], p.logs[1]
	return nil
}

// InstallCRDs brings the CRDs of the cluster to what their files say now.
func (p *ControlPlane) InstallCRDs() error {
	_, err := envtest.InstallCRDs(p.Config(), envtest.CRDInstallOptions{Paths: p.CRDs, ErrorIfPathMissing: true})
	return err
}

// Stop stops both. To stop a control plane that does not run is no error.
func (p *ControlPlane) Stop() error {
	if p.env == nil {
		return nil
	}
	errs := []error{p.env.Stop()}
	for _, file := range p.logs {
		errs = append(errs, file.Close())
	}
	p.env, p.logs = nil, nil
	return errors.Join(errs...)
}

// Config says how to reach the control plane as an administrator.
func (p *ControlPlane) Config() *rest.Config { return rest.CopyConfig(p.env.Config) }

// Kubeconfig is a file that says the same.
func (p *ControlPlane) Kubeconfig() string { return filepath.Join(p.Dir, "kubeconfig") }

// Client returns a client for the objects of Kubernetes and of the controller.
func Client(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}
