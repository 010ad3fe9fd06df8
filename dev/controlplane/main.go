// Command controlplane is etcd, kube-apiserver and kubectl in one binary, for
// tests and demonstrations without a cluster.
//
// It is built from the Go modules of Kubernetes, so what answers is the real
// API server: validation, RBAC, watches, conflicts.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"

	"nuvo.dev/controlplane/stdin"
)

const usage = `usage: controlplane COMMAND [flags]

  etcd                      one member, for one API server
  kube-apiserver            as in Kubernetes
  kubectl                   as in Kubernetes
  guard -- COMMAND [ARG]…   run a command that ends when this process ends

A link to this program that has the name of a command is that command.
With CONTROLPLANE_EXIT_WITH_STDIN=1 a server exits when its standard input ends.
`

func main() {
	// Like busybox: a link named kubectl is kubectl.
	os.Args[0] = filepath.Base(os.Args[0])
	if !run() {
		// Each command reads os.Args as if it were a program of its own.
		os.Args = os.Args[1:]
		if len(os.Args) == 0 || !run() {
			fmt.Fprint(os.Stderr, usage)
			os.Exit(2)
		}
	}
}

// run runs the command that os.Args[0] names, and is false if there is none.
func run() bool {
	switch os.Args[0] {
	case "etcd":
		stdin.Watch()
		os.Exit(runEtcd(os.Args[1:]))
	case "kube-apiserver":
		stdin.Watch()
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kubectl":
		runKubectl()
	case "guard":
		os.Exit(runGuard(os.Args[1:]))
	default:
		return false
	}
	return true
}

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}
