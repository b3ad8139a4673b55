// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"
	"maps"
	"os"

	"github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/features"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Selector returns the label selector of the objects that this controller reconciles.
func (o *Options) Selector() (labels.Selector, error) {
	selector, err := controller.GetWatchSelector(o.Watch)
	if err != nil {
		return nil, fmt.Errorf("--watch-label-selector is not a valid label selector: %w", err)
	}
	return selector, nil
}

// CacheOptions returns the options of the manager's cache.
func (o *Options) CacheOptions() (cache.Options, error) {
	selector, err := o.Selector()
	if err != nil {
		return cache.Options{}, err
	}
	options := cache.Options{
		DefaultTransform: stripUnread,
		ByObject: map[client.Object]cache.ByObject{
			&v1.ImageRepository{}: {Label: selector},
			&v1.ImagePolicy{}:     {Label: selector},
		},
	}
	if !o.Watch.AllNamespaces {
		options.DefaultNamespaces = map[string]cache.Config{os.Getenv(controller.EnvRuntimeNamespace): {}}
	}
	return options, nil
}

// stripUnread removes managed fields and the last applied configuration from an object before
// it is cached: no code reads them. Writes are patches, so the cluster keeps both.
func stripUnread(in any) (any, error) {
	obj, err := meta.Accessor(in)
	if err != nil {
		return in, nil //nolint:nilerr // such as a tombstone, which is cached unchanged
	}
	obj.SetManagedFields(nil)
	if annotations := obj.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
		annotations = maps.Clone(annotations)
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		obj.SetAnnotations(annotations)
	}
	return in, nil
}

// ClientOptions returns the options of the manager's client. Secrets, ConfigMaps and
// ServiceAccounts are read from the API server, not cached, unless the feature gate
// CacheSecretsAndConfigMaps is enabled.
func ClientOptions() client.Options {
	if cached, err := features.Enabled(controller.FeatureGateCacheSecretsAndConfigMaps); err == nil && cached {
		return client.Options{}
	}
	uncached := []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{}}
	return client.Options{Cache: &client.CacheOptions{DisableFor: uncached}}
}

// LeaderElectionID returns the name of the lease. Each shard has its own.
func (o *Options) LeaderElectionID(controllerName string) string {
	id := controllerName + "-leader-election"
	if o.Watch.LabelSelector != "" {
		return leaderelection.GenerateID(id, o.Watch.LabelSelector)
	}
	return id
}
