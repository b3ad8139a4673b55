// SPDX-License-Identifier: Apache-2.0

// The image-reflector-controller scans image repositories and selects their latest images.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"

	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/events"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/fluxcd/pkg/runtime/pprof"
	"github.com/fluxcd/pkg/runtime/probes"
	flag "github.com/spf13/pflag"
	_ "golang.org/x/crypto/x509roots/fallback" // for systems without certificate authorities, such as the container image
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcfg "sigs.k8s.io/controller-runtime/pkg/config"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/controller"
	"github.com/fluxcd/image-reflector-controller/internal/controller/imagepolicy"
	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
	"github.com/fluxcd/image-reflector-controller/internal/metrics"
	"github.com/fluxcd/image-reflector-controller/internal/options"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/mirrors"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

const controllerName = "image-reflector-controller"

// deprecatedSecretKeys is the reason of the event about a Secret with deprecated keys.
const deprecatedSecretKeys = "DeprecatedSecretKeys"

var setupLog = ctrl.Log.WithName("setup")

// exporter serves the metrics of ctrlmetrics.Registry and of the objects.
var exporter = metrics.NewExporter(ctrlmetrics.Registry)

// version and commit are set by the linker: see the Makefile and the Dockerfile.
var (
	version = "dev"
	commit  = "unknown"
)

// gcPercent trades some CPU for memory: all memory that a scan allocates is garbage when it ends,
// and with Go's default of 100 that garbage may double the heap.
const gcPercent = 50

func main() {
	if cli.IsExplain(os.Args) {
		os.Exit(cli.Main(context.Background(), os.Args))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	flag.Usage = func() { cli.Usage(os.Stderr, os.Args[0], flag.PrintDefaults) }
	var o options.Options
	o.BindFlags(flag.CommandLine)
	flag.Parse()
	if o.Version {
		printVersion(os.Stdout)
		return
	}
	logger.SetLogger(logger.NewLogger(o.Logger))

	if err := run(ctrl.SetupSignalHandler(), &o); err != nil {
		setupLog.Error(err, "the controller failed")
		os.Exit(1)
	}
}

// printVersion prints the version, the commit and the platform on one line.
func printVersion(out io.Writer) {
	fmt.Fprintf(out, "%s %s (commit %s, %s, %s/%s)\n",
		controllerName, version, commit, goruntime.Version(), goruntime.GOOS, goruntime.GOARCH)
}

// run runs the controller until ctx ends or the manager fails.
func run(ctx context.Context, o *options.Options) error {
	options.LogIgnored(flag.CommandLine, setupLog)
	if err := o.Check(setupLog); err != nil {
		return err
	}
	mgr, err := newManager(ctx, o)
	if err != nil {
		return err
	}
	probes.SetupChecks(mgr, setupLog)

	tags := store.New(o.StoragePath, store.Options{Report: reportStore, Metrics: ctrlmetrics.Registry})
	clientOptions, err := registryOptions(o, mgr)
	if err != nil {
		return err
	}
	registryClient := registry.NewClient(clientOptions...)
	defer registryClient.Close()

	if err := setup(ctx, o, mgr, tags, registryClient); err != nil {
		return errors.Join(err, tags.Close())
	}
	setupLog.Info("starting", "version", version, "commit", commit, "storage", o.StoragePath)
	return errors.Join(mgr.Start(ctx), tags.Close())
}

// registryOptions returns the options of the registry client, and adds the file with the mirrors of
// registries, if there is one, to the manager.
func registryOptions(o *options.Options, mgr ctrl.Manager) ([]registry.ClientOption, error) {
	opts := []registry.ClientOption{
		registry.WithUserAgent(controllerName), registry.WithRateLimits(o.RateLimits), registry.WithMetrics(ctrlmetrics.Registry),
	}
	if o.RegistryMirrors == "" {
		return opts, nil
	}
	log := ctrl.Log.WithName("mirrors")
	var file *mirrors.File
	loaded := func() { log.Info("registry mirrors loaded", "registries", file.Registries()) }
	file, err := mirrors.Open(o.RegistryMirrors, func(err error) {
		if err != nil {
			log.Error(err, "the new version of the file of --registry-mirrors is invalid: the previous one stays in use")
			return
		}
		loaded()
	})
	if err != nil {
		return nil, err
	}
	loaded()
	ctrlmetrics.Registry.MustRegister(mirrors.NewMetric(file))
	fallbacks := registry.LimitFallbacks(func(f registry.Fallback) {
		log.Info("a mirror failed, the next host is tried", "image", f.Image.String(), "mirror", f.Mirror, "next", f.Next,
			"reason", f.Reason, "error", f.Err.Error())
	})
	return append(opts, registry.WithMirrors(file, fallbacks)), mgr.Add(file)
}

// reportStore logs a problem that the store found in its files.
func reportStore(report store.Report) {
	fields := []any{"kind", report.Kind}
	if report.Key.Name != "" {
		fields = append(fields, "object", report.Key.String())
	}
	ctrl.Log.WithName("store").Info(report.String(), fields...)
}

// setup adds the reconcilers, their event queue and their metrics to the manager.
func setup(ctx context.Context, o *options.Options, mgr ctrl.Manager, tags *store.Store, registryClient *registry.Client) error {
	recorder, err := events.NewRecorder(mgr, ctrl.Log, o.EventsAddr, controllerName)
	if err != nil {
		return fmt.Errorf("--events-addr is not a valid address: %w", err)
	}
	shard, err := o.Selector()
	if err != nil {
		return err
	}
	queue := reconcile.NewEventQueue(recorder)
	if err := mgr.Add(queue); err != nil {
		return err
	}
	durations, scans := metrics.NewDurations(), metrics.NewScans(registryClient.HostLabel)
	ctrlmetrics.Registry.MustRegister(scans)
	exporter.Add(&metrics.Objects{Context: ctx, Reader: mgr.GetClient(), Elected: mgr.Elected()}, durations)
	auth, err := newAuthOptionsGetter(o, mgr, queue)
	if err != nil {
		return err
	}
	return controller.Setup(ctx, mgr, controller.Options{
		Auth:                 auth,
		Registry:             registryClient,
		Store:                tags,
		Verifiers:            newVerifiers(o, mgr),
		Publisher:            queue,
		Durations:            durations,
		Scans:                scans,
		Shard:                shard,
		NoCrossNamespaceRefs: o.ACL.NoCrossNamespaceRefs || !o.Watch.AllNamespaces,
		Concurrent:           o.Concurrent,
		RequeueDependency:    o.RequeueDependency,
		JitterPercent:        o.Interval.Percentage,
		RateLimiter: func() workqueue.TypedRateLimiter[ctrl.Request] {
			return fluxcontroller.GetRateLimiter(o.RateLimiter)
		},
	})
}

// newAuthOptionsGetter returns the getter of the credentials and transport settings of registries.
func newAuthOptionsGetter(o *options.Options, mgr ctrl.Manager, publisher reconcile.Publisher) (registry.AuthOptionsGetter, error) {
	tokens, err := credentials.NewTokenCache(o.TokenCache.MaxSize, o.TokenCache.MaxDuration, ctrlmetrics.Registry)
	if err != nil {
		return nil, fmt.Errorf("the token cache can't be created: %w", err)
	}
	cloud := credentials.Cloud{
		Client:                mgr.GetClient(),
		Tokens:                tokens,
		ObjectLevel:           o.ObjectLevelIdentity,
		DefaultServiceAccount: o.DefaultServiceAccount,
	}
	warn := func(repo *v1.ImageRepository, message string) {
		publisher.Publish(repo.DeepCopy(), conditions.Event{Warning: true, Reason: deprecatedSecretKeys, Message: message})
	}
	return registry.NewAuthOptionsGetter(
		credentials.NewResolver(mgr.GetClient(), credentials.WithCloud(cloud), credentials.WithWarnings(warn))), nil
}

func newManager(ctx context.Context, o *options.Options) (ctrl.Manager, error) {
	config, err := o.Kubernetes.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("the cluster is not configured: %w", err)
	}
	cacheOptions, err := o.CacheOptions()
	if err != nil {
		return nil, err
	}
	controllers := ctrlcfg.Controller{
		RecoverPanic: new(true),
		// shutdown of a priority queue can deadlock: docs/design/0024-plain-work-queues.md
		UsePriorityQueue: new(false),
	}
	managerOptions := ctrl.Options{
		Scheme: newScheme(),
		Metrics: metricsserver.Options{
			BindAddress: o.MetricsAddr, ExtraHandlers: pprof.GetHandlers(), FilterProvider: exporter.Filter,
		},
		HealthProbeBindAddress:        o.HealthAddr,
		LeaderElection:                o.LeaderElection.Enable,
		LeaderElectionReleaseOnCancel: o.LeaderElection.ReleaseOnCancel,
		LeaseDuration:                 &o.LeaderElection.LeaseDuration,
		RenewDeadline:                 &o.LeaderElection.RenewDeadline,
		RetryPeriod:                   &o.LeaderElection.RetryPeriod,
		LeaderElectionID:              o.LeaderElectionID(controllerName),
		LeaderElectionNamespace:       os.Getenv(fluxcontroller.EnvRuntimeNamespace),
		Logger:                        controller.LazyLogger(ctrl.Log),
		Cache:                         cacheOptions,
		Client:                        options.ClientOptions(),
		Controller:                    controllers,
	}
	return ctrl.NewManager(config, managerOptions)
}

// newVerifiers returns the factory of signature verifiers.
func newVerifiers(o *options.Options, mgr ctrl.Manager) imagepolicy.VerifierFactory {
	return &imagepolicy.SignatureVerifiers{
		Reader: mgr.GetClient(),
		Public: signature.NewPublicRoot(signature.WithFolder(filepath.Join(o.StoragePath, "sigstore"))),
		Retry:  o.RequeueDependency,
	}
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	return scheme
}
