// SPDX-License-Identifier: Apache-2.0

// The image-reflector-controller scans image repositories and selects the
// latest image that may be deployed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/fluxcd/pkg/runtime/acl"
	"github.com/fluxcd/pkg/runtime/client"
	kube "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/events"
	"github.com/fluxcd/pkg/runtime/features"
	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/fluxcd/pkg/runtime/pprof"
	"github.com/fluxcd/pkg/runtime/probes"
	flag "github.com/spf13/pflag"
	_ "golang.org/x/crypto/x509roots/fallback" // where the system has no certificate authorities, such as the image
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcfg "sigs.k8s.io/controller-runtime/pkg/config"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/controller"
	"github.com/fluxcd/image-reflector-controller/internal/lifecycle"
	"github.com/fluxcd/image-reflector-controller/internal/metrics"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

const controllerName = "image-reflector-controller"

// deprecatedSecretKeys is the reason of the event about a Secret whose keys
// have a newer spelling.
const deprecatedSecretKeys = "DeprecatedSecretKeys"

var setupLog = ctrl.Log.WithName("setup")

// flags holds what the command line says.
type flags struct {
	metricsAddr, healthAddr, eventsAddr string
	storagePath                         string
	version                             bool
	concurrent                          int
	requeueDependency                   time.Duration
	defaultServiceAccount               string
	objectLevelIdentity                 bool // is a feature gate

	client         client.Options
	logger         logger.Options
	leaderElection leaderelection.Options
	rateLimiter    kube.RateLimiterOptions
	features       features.FeatureGates
	watch          kube.WatchOptions
	interval       jitter.IntervalOptions
	acl            acl.Options
	tokenCache     cache.TokenFlags
	rateLimits     ratelimit.Config
}

func (f *flags) bind(fs *flag.FlagSet) {
	fs.StringVar(&f.metricsAddr, "metrics-addr", ":8080",
		"The address of the metrics for Prometheus at /metrics, and of profiles at /debug/pprof/.")
	fs.StringVar(&f.healthAddr, "health-addr", ":9440", "The address of the probes at /healthz and /readyz.")
	fs.StringVar(&f.eventsAddr, "events-addr", "",
		"The address of the notification-controller. Without it, events go to the Kubernetes API only.")
	fs.StringVar(&f.storagePath, "storage-path", "/data",
		"The directory in which the tags of scanned repositories are kept. One process uses it at a time.")
	fs.IntVar(&f.concurrent, "concurrent", 32, "The number of objects of each kind that are reconciled at a time, over all registry hosts.")
	fs.DurationVar(&f.requeueDependency, "requeue-dependency", 30*time.Second,
		"The interval at which a dependency that is not ready is looked at again.")
	fs.StringVar(&f.defaultServiceAccount, auth.ControllerFlagDefaultServiceAccount, "",
		"The ServiceAccount, in the namespace of each object, whose cloud identity is used where the object names none. "+
			"It needs the feature gate ObjectLevelWorkloadIdentity.")
	fs.BoolVar(&f.version, "version", false, "Print the version and the commit, and end. The log has them at each start, too.")
	f.client.BindFlags(fs)
	f.logger.BindFlags(fs)
	f.leaderElection.BindFlags(fs)
	f.rateLimiter.BindFlags(fs)
	f.features.BindFlags(fs)
	f.watch.BindFlags(fs)
	f.interval.BindFlags(fs)
	f.acl.BindFlags(fs)
	f.tokenCache.BindFlags(fs, 100)
	f.rateLimits.BindFlags(fs)
	bindUnused(fs)
}

// unusedFlags are passed by existing installations, and have no meaning here.
var unusedFlags = map[string]string{
	"storage-value-log-file-size": "the storage of this controller has no value log",
	"gc-interval":                 "the storage of this controller needs no garbage collection",
	"aws-autologin-for-ecr":       "set spec.provider of the ImageRepository to aws instead",
	"azure-autologin-for-acr":     "set spec.provider of the ImageRepository to azure instead",
	"gcp-autologin-for-gcr":       "set spec.provider of the ImageRepository to gcp instead",
}

func bindUnused(fs *flag.FlagSet) {
	for name, why := range unusedFlags {
		fs.String(name, "", "Ignored: "+why+".")
		fs.Lookup(name).NoOptDefVal = "true" // some of them are switches
	}
	fs.Lookup("watch-configs-label-selector").Usage = "Without effect: Secrets are read when they are needed, and not watched."
}

func warnOfUnused(fs *flag.FlagSet) {
	for name, why := range unusedFlags {
		if fs.Changed(name) {
			setupLog.Info("the flag --" + name + " is ignored: " + why)
		}
	}
	if fs.Changed("watch-configs-label-selector") {
		setupLog.Info("the flag --watch-configs-label-selector has no effect: Secrets are read when they are needed, and not watched")
	}
}

// gcPercent trades a little CPU for memory: what a scan allocates is garbage
// when it ends, and with Go's default of 100 that garbage may double the heap.
const gcPercent = 50

func main() {
	explainIfWanted()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var f flags
	f.bind(flag.CommandLine)
	flag.Parse()
	if f.version {
		printVersion(os.Stdout)
		return
	}
	logger.SetLogger(logger.NewLogger(f.logger))

	if err := run(ctrl.SetupSignalHandler(), &f); err != nil {
		setupLog.Error(err, "the controller ended")
		os.Exit(1)
	}
}

func run(ctx context.Context, f *flags) error {
	warnOfUnused(flag.CommandLine)
	if err := f.check(); err != nil {
		return err
	}
	mgr, err := f.newManager()
	if err != nil {
		return err
	}
	probes.SetupChecks(mgr, setupLog)

	tags := store.New(f.storagePath, store.Options{Report: reportStore, Metrics: ctrlmetrics.Registry})
	registryClient := registry.NewClient(registry.WithUserAgent(controllerName),
		registry.WithRateLimits(f.rateLimits), registry.WithMetrics(ctrlmetrics.Registry))
	defer registryClient.Close()

	if err := f.setup(ctx, mgr, tags, registryClient); err != nil {
		return errors.Join(err, tags.Close())
	}
	setupLog.Info("starting", "version", version, "commit", commit, "storage", f.storagePath)
	return errors.Join(mgr.Start(ctx), tags.Close())
}

// check finds the settings that can't be used before anything is started.
func (f *flags) check() error {
	gates := map[string]bool{kube.FeatureGateCacheSecretsAndConfigMaps: false}
	auth.SetFeatureGates(gates)
	if err := f.features.WithLogger(setupLog).SupportedFeatures(gates); err != nil {
		return err
	}
	if err := f.setUpIdentity(); err != nil {
		return err
	}
	if err := f.interval.SetGlobalJitter(nil); err != nil {
		return fmt.Errorf("--interval-jitter-percentage is %d: %w", f.interval.Percentage, err)
	}
	if f.concurrent < 1 {
		return fmt.Errorf("--concurrent is %d: it must be 1 or more", f.concurrent)
	}
	return errors.Join(f.rateLimits.Check(), f.checkDelays())
}

// checkDelays finds the delays with which a failure would be retried without
// any, or never.
func (f *flags) checkDelays() error {
	for name, delay := range map[string]time.Duration{
		"min-retry-delay":    f.rateLimiter.MinRetryDelay,
		"max-retry-delay":    f.rateLimiter.MaxRetryDelay,
		"requeue-dependency": f.requeueDependency,
	} {
		if delay <= 0 {
			return fmt.Errorf("--%s is %s: it must be more than 0s", name, delay)
		}
	}
	return nil
}

// reportStore logs what the store reports.
func reportStore(report store.Report) {
	fields := []any{"kind", report.Kind}
	if report.Key.Name != "" {
		fields = append(fields, "object", report.Key.String())
	}
	ctrl.Log.WithName("store").Info(report.String(), fields...)
}

func (f *flags) setup(ctx context.Context, mgr ctrl.Manager, tags *store.Store, registryClient *registry.Client) error {
	recorder, err := events.NewRecorder(mgr, ctrl.Log, f.eventsAddr, controllerName)
	if err != nil {
		return fmt.Errorf("--events-addr is no address: %w", err)
	}
	shard, err := f.selector()
	if err != nil {
		return err
	}
	queue := lifecycle.NewEventQueue(recorder)
	if err := mgr.Add(queue); err != nil {
		return err
	}
	durations, scans := metrics.NewDurations(), metrics.NewScans(registryClient.HostLabel)
	ctrlmetrics.Registry.MustRegister(durations, scans, &metrics.Objects{Context: ctx, Reader: mgr.GetClient(), Elected: mgr.Elected()})
	identities, err := f.newIdentities(mgr, queue)
	if err != nil {
		return err
	}
	return controller.Setup(ctx, mgr, controller.Options{
		Auth:                 identities,
		Registry:             registryClient,
		Store:                tags,
		Verifiers:            f.newVerifiers(mgr),
		Publisher:            queue,
		Durations:            durations,
		Scans:                scans,
		Shard:                shard,
		NoCrossNamespaceRefs: f.acl.NoCrossNamespaceRefs || !f.watch.AllNamespaces,
		Concurrent:           f.concurrent,
		RequeueDependency:    f.requeueDependency,
		JitterPercent:        f.interval.Percentage,
		RateLimiter: func() workqueue.TypedRateLimiter[reconcile.Request] {
			return kube.GetRateLimiter(f.rateLimiter)
		},
	})
}

// newIdentities returns the one place that knows how registries are reached.
func (f *flags) newIdentities(mgr ctrl.Manager, publisher lifecycle.Publisher) (registry.AuthOptionsGetter, error) {
	tokens, err := credentials.NewTokenCache(f.tokenCache.MaxSize, f.tokenCache.MaxDuration, ctrlmetrics.Registry)
	if err != nil {
		return nil, fmt.Errorf("the token cache can't be made: %w", err)
	}
	cloud := credentials.Cloud{
		Client:                mgr.GetClient(),
		Tokens:                tokens,
		ObjectLevel:           f.objectLevelIdentity,
		DefaultServiceAccount: f.defaultServiceAccount,
	}
	warn := func(repo *v1.ImageRepository, message string) {
		publisher.Publish(repo.DeepCopy(), outcome.Event{Warning: true, Reason: deprecatedSecretKeys, Message: message})
	}
	return registry.NewAuthOptionsGetter(
		credentials.NewResolver(mgr.GetClient(), credentials.WithCloud(cloud), credentials.WithWarnings(warn))), nil
}

func (f *flags) newManager() (ctrl.Manager, error) {
	cacheOptions, err := f.cacheOptions()
	if err != nil {
		return nil, err
	}
	controllers := ctrlcfg.Controller{
		RecoverPanic:            new(true),
		MaxConcurrentReconciles: f.concurrent,
		// its shutdown can deadlock: docs/design/0024
		UsePriorityQueue: new(false),
	}
	options := ctrl.Options{
		Scheme:                        newScheme(),
		Metrics:                       metricsserver.Options{BindAddress: f.metricsAddr, ExtraHandlers: pprof.GetHandlers()},
		HealthProbeBindAddress:        f.healthAddr,
		LeaderElection:                f.leaderElection.Enable,
		LeaderElectionReleaseOnCancel: f.leaderElection.ReleaseOnCancel,
		LeaseDuration:                 &f.leaderElection.LeaseDuration,
		RenewDeadline:                 &f.leaderElection.RenewDeadline,
		RetryPeriod:                   &f.leaderElection.RetryPeriod,
		LeaderElectionID:              f.leaderElectionID(),
		LeaderElectionNamespace:       os.Getenv(kube.EnvRuntimeNamespace),
		Logger:                        ctrl.Log,
		Cache:                         cacheOptions,
		Client:                        clientOptions(),
		Controller:                    controllers,
	}
	return ctrl.NewManager(client.GetConfigOrDie(f.client), options)
}

// leaderElectionID keeps the shards of a cluster apart.
func (f *flags) leaderElectionID() string {
	id := controllerName + "-leader-election"
	if f.watch.LabelSelector != "" {
		return leaderelection.GenerateID(id, f.watch.LabelSelector)
	}
	return id
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	return scheme
}
