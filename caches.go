// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"

	kube "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/features"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// selector says which objects are this controller's.
func (f *flags) selector() (labels.Selector, error) {
	selector, err := kube.GetWatchSelector(f.watch)
	if err != nil {
		return nil, fmt.Errorf("--watch-label-selector is no label selector: %w", err)
	}
	return selector, nil
}

// cacheOptions says what the process keeps of the API server's objects.
func (f *flags) cacheOptions() (ctrlcache.Options, error) {
	selector, err := f.selector()
	if err != nil {
		return ctrlcache.Options{}, err
	}
	options := ctrlcache.Options{
		DefaultTransform: slim,
		ByObject: map[ctrlclient.Object]ctrlcache.ByObject{
			&v1.ImageRepository{}: {Label: selector},
			&v1.ImagePolicy{}:     {Label: selector},
		},
	}
	if !f.watch.AllNamespaces {
		options.DefaultNamespaces = map[string]ctrlcache.Config{os.Getenv(kube.EnvRuntimeNamespace): {}}
	}
	return options, nil
}

// slim takes off an object what nobody here reads before it is cached: who
// set which field, and the whole object again, as kubectl applied it. Neither is
// lost to the cluster, since what is written are patches of what changed.
func slim(in any) (any, error) {
	obj, err := meta.Accessor(in)
	if err != nil {
		return in, nil //nolint:nilerr // such as the tombstone of an object: it is cached as it is
	}
	obj.SetManagedFields(nil)
	if annotations := obj.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
		annotations = maps.Clone(annotations)
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		obj.SetAnnotations(annotations)
	}
	return in, nil
}

// clientOptions has Secrets and ConfigMaps read from the API server, and only
// when they are needed, unless the feature gate says otherwise.
func clientOptions() ctrlclient.Options {
	if cached, err := features.Enabled(kube.FeatureGateCacheSecretsAndConfigMaps); err == nil && cached {
		return ctrlclient.Options{}
	}
	uncached := []ctrlclient.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{}}
	return ctrlclient.Options{Cache: &ctrlclient.CacheOptions{DisableFor: uncached}}
}
