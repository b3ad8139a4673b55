// SPDX-License-Identifier: Apache-2.0

// Package options holds the command-line flags of the controller, and the options of the manager
// that depend on them.
package options

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/fluxcd/pkg/runtime/acl"
	"github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/features"
	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/go-logr/logr"
	flag "github.com/spf13/pflag"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

// Options holds the values of the flags.
type Options struct {
	MetricsAddr, HealthAddr, EventsAddr string
	StoragePath                         string
	Version                             bool
	Concurrent                          int
	RequeueDependency                   time.Duration
	DefaultServiceAccount               string
	RegistryMirrors                     string
	// ObjectLevelIdentity is the feature gate ObjectLevelWorkloadIdentity, once Check has run.
	ObjectLevelIdentity bool

	Kubernetes     KubernetesOptions
	Logger         logger.Options
	LeaderElection leaderelection.Options
	RateLimiter    controller.RateLimiterOptions
	Features       features.FeatureGates
	Watch          controller.WatchOptions
	Interval       jitter.IntervalOptions
	ACL            acl.Options
	TokenCache     cache.TokenFlags
	RateLimits     ratelimit.Config
}

// BindFlags adds all flags to fs.
func (o *Options) BindFlags(fs *flag.FlagSet) {
	fs.StringVar(&o.MetricsAddr, "metrics-addr", ":8080",
		"The address of the metrics for Prometheus at /metrics, and of profiles at /debug/pprof/.")
	fs.StringVar(&o.HealthAddr, "health-addr", ":9440", "The address of the probes at /healthz and /readyz.")
	fs.StringVar(&o.EventsAddr, "events-addr", "",
		"The address of the notification-controller. Without it, events go to the Kubernetes API only.")
	fs.StringVar(&o.StoragePath, "storage-path", "/data",
		"The directory in which the tags of scanned repositories are stored. One process uses it at a time.")
	fs.IntVar(&o.Concurrent, "concurrent", 32, "The number of objects of each kind that are reconciled at a time, over all registry hosts.")
	fs.DurationVar(&o.RequeueDependency, "requeue-dependency", 30*time.Second,
		"The interval at which a dependency that is not ready is checked again.")
	fs.StringVar(&o.DefaultServiceAccount, auth.ControllerFlagDefaultServiceAccount, "",
		"The ServiceAccount, in the namespace of each object, whose cloud identity is used if the object names none. "+
			"It needs the feature gate ObjectLevelWorkloadIdentity.")
	fs.StringVar(&o.RegistryMirrors, "registry-mirrors", "",
		"A file with the mirrors of registries: a TOML table per registry, in the format of containerd's hosts.toml. "+
			"It is reloaded when it changes.")
	fs.BoolVar(&o.Version, "version", false, "Print the version and the commit, and exit. They are also logged at each start.")
	o.Kubernetes.BindFlags(fs)
	o.Logger.BindFlags(fs)
	o.LeaderElection.BindFlags(fs)
	o.RateLimiter.BindFlags(fs)
	o.Features.BindFlags(fs)
	o.Watch.BindFlags(fs)
	o.Interval.BindFlags(fs)
	o.ACL.BindFlags(fs)
	o.TokenCache.BindFlags(fs, 100)
	o.RateLimits.BindFlags(fs)
	bindIgnored(fs)
}

// ignoredFlags are flags of the Flux controller without an effect here, and why. They are
// accepted because existing installations pass them.
var ignoredFlags = map[string]string{
	"storage-value-log-file-size": "the storage of this controller has no value log",
	"gc-interval":                 "the storage of this controller needs no garbage collection",
	"aws-autologin-for-ecr":       "set spec.provider of the ImageRepository to aws instead",
	"azure-autologin-for-acr":     "set spec.provider of the ImageRepository to azure instead",
	"gcp-autologin-for-gcr":       "set spec.provider of the ImageRepository to gcp instead",
}

func bindIgnored(fs *flag.FlagSet) {
	for name, reason := range ignoredFlags {
		fs.String(name, "", "Ignored: "+reason+".")
		fs.Lookup(name).NoOptDefVal = "true" // some of them are boolean
	}
	fs.Lookup("watch-configs-label-selector").Usage = "Without effect: Secrets are read when they are needed, and not watched."
}

// LogIgnored logs each flag on the command line that has no effect.
func LogIgnored(fs *flag.FlagSet, log logr.Logger) {
	for name, reason := range ignoredFlags {
		if fs.Changed(name) {
			log.Info("the flag --" + name + " is ignored: " + reason)
		}
	}
	if fs.Changed("watch-configs-label-selector") {
		log.Info("the flag --watch-configs-label-selector has no effect: Secrets are read when they are needed, and not watched")
	}
}

// Check validates the values, and enables the feature gates.
func (o *Options) Check(log logr.Logger) error {
	gates := map[string]bool{controller.FeatureGateCacheSecretsAndConfigMaps: false}
	auth.SetFeatureGates(gates)
	if err := o.Features.WithLogger(log).SupportedFeatures(gates); err != nil {
		return err
	}
	if err := o.checkIdentity(); err != nil {
		return err
	}
	if err := o.Interval.SetGlobalJitter(nil); err != nil {
		return fmt.Errorf("--interval-jitter-percentage is %d: %w", o.Interval.Percentage, err)
	}
	if o.StoragePath == "" {
		return errors.New("--storage-path is empty: name a directory")
	}
	if !o.Watch.AllNamespaces && os.Getenv(controller.EnvRuntimeNamespace) == "" {
		return fmt.Errorf("--watch-all-namespaces is false: set the environment variable %s to the namespace to watch",
			controller.EnvRuntimeNamespace)
	}
	if o.Concurrent < 1 {
		return fmt.Errorf("--concurrent is %d: it must be 1 or more", o.Concurrent)
	}
	return errors.Join(o.RateLimits.Check(), o.checkDelays())
}

// checkIdentity enables workload identity at object level if its feature gate is set.
func (o *Options) checkIdentity() error {
	var err error
	if o.ObjectLevelIdentity, err = features.Enabled(auth.FeatureGateObjectLevelWorkloadIdentity); err != nil {
		return err
	}
	if o.ObjectLevelIdentity {
		auth.EnableObjectLevelWorkloadIdentity()
	} else if o.DefaultServiceAccount != "" {
		return fmt.Errorf("--%s is %q: %w",
			auth.ControllerFlagDefaultServiceAccount, o.DefaultServiceAccount, auth.ErrInconsistentObjectLevelConfiguration)
	}
	return nil
}

// checkDelays rejects delays of zero or less, with which failures would be retried without a pause.
func (o *Options) checkDelays() error {
	for name, delay := range map[string]time.Duration{
		"min-retry-delay":    o.RateLimiter.MinRetryDelay,
		"max-retry-delay":    o.RateLimiter.MaxRetryDelay,
		"requeue-dependency": o.RequeueDependency,
	} {
		if delay <= 0 {
			return fmt.Errorf("--%s is %s: it must be more than 0s", name, delay)
		}
	}
	return nil
}
