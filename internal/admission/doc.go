// SPDX-License-Identifier: Apache-2.0

// Package admission decides which of the candidates that a policy ranks may be selected: the
// best one whose image passes the gates of the policy, which are its age, its platforms and its
// signatures. The controller and the command explain both evaluate candidates here.
//
// It is pure but for one interface, Images, by which it asks a registry for no more than a
// decision takes. Package images implements that.
package admission
