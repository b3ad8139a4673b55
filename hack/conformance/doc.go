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

// Package conformance runs the CLIs of users against the controller: flux, in the
// versions that speak v1 and v1beta2, and cosign and ORAS, by which images are
// signed and artifacts attached to them. make conformance builds them, which takes
// minutes, and then runs the tests of this package.
package conformance
