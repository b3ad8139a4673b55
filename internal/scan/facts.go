/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package scan

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// FactsOf returns the facts about a repository that its spec and its status
// tell, with the time between two scans of it. stored says that the tags of the
// last scan are held.
func FactsOf(repo *v1.ImageRepository, interval time.Duration, stored bool, now time.Time) Facts {
	status := repo.Status
	facts := Facts{
		Now:                now,
		Interval:           interval,
		Image:              repo.Spec.Image,
		ObservedImage:      status.ObservedImage,
		Exclusions:         repo.GetExclusionList(),
		ObservedExclusions: status.ObservedExclusionList,
		Failing:            !apimeta.IsStatusConditionTrue(status.Conditions, meta.ReadyCondition),
		Requested:          IsRequested(repo, status.LastHandledReconcileAt),
	}
	if status.LastScanResult != nil {
		facts.LastScan = status.LastScanResult.ScanTime.Time
		facts.Stored = stored
	}
	return facts
}

// IsRequested reports whether a reconcile of the object was asked for that is
// not the one which was handled last.
func IsRequested(obj metav1.Object, handled string) bool {
	request, found := meta.ReconcileAnnotationValue(obj.GetAnnotations())
	return found && request != handled
}
