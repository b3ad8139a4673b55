// SPDX-License-Identifier: Apache-2.0

package testenv

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

// ControlPlane is an etcd and a kube-apiserver. No other component of Kubernetes runs, so no
// pods are started.
type ControlPlane struct {
	// Assets is the folder with the two programs.
	Assets string
	// Dir contains all files that they write.
	Dir string
	// CRDs are files or folders of CustomResourceDefinitions to install.
	CRDs []string
	// Audit enables the audit log, see AuditLog.
	Audit bool

	env *envtest.Environment
}

// Start starts both programs and installs the CRDs. If it returns an error, no process is left
// running.
func (p *ControlPlane) Start(ctx context.Context) error {
	certificates := filepath.Join(p.Dir, "kube-apiserver")
	if err := os.MkdirAll(certificates, 0o700); err != nil {
		return err
	}
	etcdLog, err := openLog(filepath.Join(p.Dir, "etcd.log"))
	if err != nil {
		return err
	}
	defer etcdLog.Close()
	apiserverLog, err := openLog(filepath.Join(p.Dir, "kube-apiserver.log"))
	if err != nil {
		return err
	}
	defer apiserverLog.Close() // the processes have their own file descriptors
	p.env = &envtest.Environment{
		CRDDirectoryPaths:        p.CRDs,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	p.env.ControlPlane.Etcd = &envtest.Etcd{
		Path: filepath.Join(p.Assets, "etcd"), DataDir: filepath.Join(p.Dir, "etcd"), Out: etcdLog, Err: etcdLog,
	}
	apiserver := p.env.ControlPlane.GetAPIServer()
	apiserver.Path, apiserver.CertDir = filepath.Join(p.Assets, "kube-apiserver"), certificates
	apiserver.Out, apiserver.Err = apiserverLog, apiserverLog
	if p.Audit {
		if err := p.audit(filepath.Join(certificates, "audit-policy.json")); err != nil {
			return err
		}
	}
	_, err = p.env.Start() // takes no context: cancelling it halfway would leave processes behind
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

// audit configures an audit policy that logs every request without contents, and writes of
// the controller with the request body.
func (p *ControlPlane) audit(policyFile string) error {
	policy := fmt.Sprintf(`{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
		{"level": "Request", "users": [%q], "verbs": ["create", "update", "patch", "delete"]},
		{"level": "Metadata"}]}`, controllerUser)
	p.env.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policyFile).Set("audit-log-path", p.AuditLog())
	return os.WriteFile(policyFile, []byte(policy), 0o600)
}

// AuditLog returns the path of the audit log, with one audit.k8s.io/v1 event as JSON per line.
func (p *ControlPlane) AuditLog() string { return filepath.Join(p.Dir, "audit.log") }

// InstallCRDs updates the CRDs of the cluster from their files.
func (p *ControlPlane) InstallCRDs() error {
	_, err := envtest.InstallCRDs(p.Config(), envtest.CRDInstallOptions{Paths: p.CRDs, ErrorIfPathMissing: true})
	return err
}

// Stop stops both programs. It does nothing if the control plane is not running.
func (p *ControlPlane) Stop() error {
	if p.env == nil {
		return nil
	}
	err := p.env.Stop()
	p.env = nil
	return err
}

// Config returns the client configuration of an administrator.
func (p *ControlPlane) Config() *rest.Config { return rest.CopyConfig(p.env.Config) }

// Kubeconfig returns the path of the kubeconfig of an administrator.
func (p *ControlPlane) Kubeconfig() string { return filepath.Join(p.Dir, "kubeconfig") }

// Client returns a client for the types of Kubernetes and of the controller.
func Client(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}
