// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// logged has a Pod of a Deployment on a node whose kubelet tells the log of the
// controller that runs here.
func logged(w *world, namespace string) {
	w.t.Helper()
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if !strings.HasPrefix(request.URL.Path, "/containerLogs/"+namespace+"/image-reflector-controller/") {
			http.NotFound(answer, request)
			return
		}
		http.ServeFile(answer, request, w.controller.LogFile())
	}))
	w.t.Cleanup(kubelet.Close)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	w.must(w.api.Create(w.t.Context(), node))
	host, port, err := net.SplitHostPort(kubelet.Listener.Addr().String())
	w.must(err)
	number, err := strconv.ParseInt(port, 10, 32)
	w.must(err)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	w.must(w.api.Status().Update(w.t.Context(), node))

	deployment := &appsv1.Deployment{}
	w.must(w.api.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: "image-reflector-controller"}, deployment))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: deployment.Name, Namespace: namespace, Labels: deployment.Spec.Template.Labels},
		Spec:       deployment.Spec.Template.Spec,
	}
	pod.Spec.NodeName = node.Name
	w.must(w.api.Create(w.t.Context(), pod))
}
