// SPDX-License-Identifier: Apache-2.0

package options

import (
	"context"

	"github.com/fluxcd/cli-utils/pkg/flowcontrol"
	flag "github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
)

// KubernetesOptions are the rate limits of requests to the Kubernetes API, with the flags of
// github.com/fluxcd/pkg/runtime/client. That package is not used because it links kustomize and parts
// of kubectl.
type KubernetesOptions struct {
	QPS   float32
	Burst int
}

// BindFlags adds the flags to fs.
func (o *KubernetesOptions) BindFlags(fs *flag.FlagSet) {
	fs.Float32Var(&o.QPS, "kube-api-qps", 50,
		"The maximum number of requests per second to a Kubernetes API without API priority and fairness.")
	fs.IntVar(&o.Burst, "kube-api-burst", 300,
		"The maximum burst of requests to a Kubernetes API without API priority and fairness.")
}

// Config returns the configuration of the Kubernetes client. It has no rate limits if the API
// server limits the rate itself, by API priority and fairness.
func (o *KubernetesOptions) Config(ctx context.Context) (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	if enabled, err := flowcontrol.IsEnabled(ctx, config); err != nil || !enabled {
		config.QPS, config.Burst = o.QPS, o.Burst
	}
	return config, nil
}
