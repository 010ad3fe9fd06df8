// Command kube-controller-manager is that of Kubernetes, for the tests that
// need namespaces to end and garbage to be collected.
//
// It is a program of its own because it is made of 360 packages that no other
// part of the control plane needs, and most of what runs here does without it.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"

	"nuvo.dev/controlplane/stdin"
)

func main() {
	stdin.Watch()
	os.Exit(cli.Run(app.NewControllerManagerCommand()))
}
