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

// Package explain says why a policy selects the tag that it selects: what was
// listed, what became of every tag, and how that goes with what the status
// says.
//
// It is pure, and decides nothing: rules, exclusions, scans and doubts are those
// of internal/selection, internal/scan and internal/repository, which the controller
// uses too. The packages below it gather what it is told (source), print what it
// says (render, terminal), and make a command of it (cli).
package explain
